import type { DataOf } from "../tensor/dtype.ts";
import { FLOAT4_VALUES, float32ToFloat4 } from "../tensor/float4.ts";
import { FLOAT8_VALUES, float32ToFloat8 } from "../tensor/float8.ts";
import { roundHalfToEven } from "../tensor/rounding.ts";
import type { QuantizationArgs } from "./arguments.ts";

/** Dtypes of codes, one a byte: signed integers, float8 bits, float4 bits (in the low half). */
export type CodeDType = "I8" | "F8_E4M3" | "U8";

/** The numbers that codes stand for, before scale and zero point. */
export interface CodeType {
  readonly dtype: CodeDType;
  /** The smallest and the largest number; what lies beyond is clamped. */
  readonly min: number;
  readonly max: number;
  /** Rounds numbers, which are clamped already, to codes, from the code at `start` on: half to even. */
  encode(values: Float32Array, count: number, codes: DataOf<CodeDType>, start: number): void;
  /** The number of each byte that a code can be. */
  readonly values: Float32Array;
}

/** Integers of `numBits` bits: −2^(b−1) to 2^(b−1) − 1. */
function integers(numBits: number): CodeType {
  const half = 2 ** (numBits - 1);
  return { dtype: "I8", min: -half, max: half - 1, encode: encodeIntegers, values: BYTES };
}

const BYTES = Float32Array.from(Int8Array.from({ length: 256 }, (_, byte) => byte));

/** E4M3FN. */
const FLOAT8: CodeType = {
  dtype: "F8_E4M3",
  min: -448,
  max: 448,
  encode: (values, count, codes, start) =>
    float32ToFloat8(values.subarray(0, count), (codes as Uint8Array).subarray(start)),
  values: FLOAT8_VALUES,
};

/** E2M1. */
const FLOAT4: CodeType = {
  dtype: "U8",
  min: -6,
  max: 6,
  encode: (values, count, codes, start) =>
    float32ToFloat4(values.subarray(0, count), (codes as Uint8Array).subarray(start)),
  values: FLOAT4_VALUES,
};

/** The code type of some arguments. */
export function codeTypeOf({ type, numBits }: Pick<QuantizationArgs, "type" | "numBits">): CodeType {
  if (type === "int") return integers(numBits);
  return numBits === 8 ? FLOAT8 : FLOAT4;
}

function encodeIntegers(values: Float32Array, count: number, codes: DataOf<CodeDType>, start: number): void {
  for (let i = 0; i < count; i++) codes[start + i] = roundHalfToEven(values[i]);
}
