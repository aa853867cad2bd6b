import type { CodeKind } from "../kernels/tiles.ts";
import { FLOAT4_VALUES } from "../tensor/float4.ts";
import { FLOAT8_VALUES } from "../tensor/float8.ts";
import type { QuantizationArgs } from "./arguments.ts";

/** Dtypes of codes, one a byte: signed integers, float8 bits, float4 bits (in the low half). */
export type CodeDType = "I8" | "F8_E4M3" | "U8";

/** The numbers that codes stand for, before scale and zero point. */
interface CodeType {
  readonly dtype: CodeDType;
  /** The smallest and the largest number; what lies beyond is clamped. */
  readonly min: number;
  readonly max: number;
  /** How numbers become codes. */
  readonly kind: CodeKind;
  /** The number of each byte that a code can be. */
  readonly values: Float32Array;
}

/** Integers of `numBits` bits: −2^(b−1) to 2^(b−1) − 1. */
function integers(numBits: number): CodeType {
  const half = 2 ** (numBits - 1);
  return { dtype: "I8", min: -half, max: half - 1, kind: "integer", values: BYTES };
}

const BYTES = Float32Array.from(Int8Array.from({ length: 256 }, (_, byte) => byte));

/** E4M3FN. */
const FLOAT8: CodeType = {
  dtype: "F8_E4M3",
  min: -448,
  max: 448,
  kind: "float8",
  values: FLOAT8_VALUES,
};

/** E2M1. */
const FLOAT4: CodeType = {
  dtype: "U8",
  min: -6,
  max: 6,
  kind: "float4",
  values: FLOAT4_VALUES,
};

/** The code type of some arguments. */
export function codeTypeOf({ type, numBits }: Pick<QuantizationArgs, "type" | "numBits">): CodeType {
  if (type === "int") return integers(numBits);
  return numBits === 8 ? FLOAT8 : FLOAT4;
}
