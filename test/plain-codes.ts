import type { CodeKind } from "../src/kernels/tiles.ts";
import { rounder } from "../src/tensor/convert.ts";
import type { FloatDType } from "../src/tensor/dtype.ts";
import { FLOAT4_VALUES } from "../src/tensor/float4.ts";
import { encodeFloat8, FLOAT8_VALUES } from "../src/tensor/float8.ts";
import { roundHalfToEven } from "../src/tensor/rounding.ts";

/** The float4 E2M1 bits nearest to `value`; those of +0 for −0, as in compressed-tensors. */
export function encodeFloat4(value: number): number {
  const magnitude = Math.abs(value);
  // rounding half to even is on the code, so bounds belong to the even one in turns
  const code =
    Number(magnitude > 0.25) +
    Number(magnitude >= 0.75) +
    Number(magnitude > 1.25) +
    Number(magnitude >= 1.75) +
    Number(magnitude > 2.5) +
    Number(magnitude >= 3.5) +
    Number(magnitude > 5);
  return value < 0 ? code | 8 : code;
}

const ENCODE: Readonly<Record<CodeKind, (value: number) => number>> = {
  integer: (value) => roundHalfToEven(value) & 0xff,
  float8: (value) => encodeFloat8(new Uint32Array(Float32Array.of(value).buffer)[0]),
  float4: encodeFloat4,
};

const DECODE: Readonly<Record<CodeKind, (code: number) => number>> = {
  integer: (code) => (code << 24) >> 24,
  float8: (code) => FLOAT8_VALUES[code],
  float4: (code) => FLOAT4_VALUES[code],
};

/** How a value becomes a code of one byte and back, by plain arithmetic. */
export interface PlainScale {
  readonly kind: CodeKind;
  readonly dtype: FloatDType;
  readonly scale: number;
  readonly zeroPoint: number;
  readonly range: readonly [lowest: number, highest: number];
}

/** The code of one value: clamp(x / scale + zeroPoint), each operation rounded. */
export function encodePlainly(x: number, { kind, dtype, scale, zeroPoint, range }: PlainScale): number {
  const rd = rounder(dtype);
  return ENCODE[kind](Math.min(Math.max(rd(rd(x / scale) + zeroPoint), range[0]), range[1]));
}

/** What one code stands for: (number − zeroPoint) · scale, rounded. */
export function decodePlainly(code: number, { kind, dtype, scale, zeroPoint }: PlainScale): number {
  return rounder(dtype)((DECODE[kind](code) - zeroPoint) * scale);
}
