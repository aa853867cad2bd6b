import { mapElements } from "../wasm/map-elements.ts";
import { shiftHalfToEven } from "./rounding.ts";

/** What one unit of the significand is worth, for each exponent field of finite float16 bits. */
const UNITS = Float64Array.from({ length: 31 }, (_, exponent) => 2 ** (Math.max(exponent, 1) - 25));

/** Widens float16 bits to float32, exactly. */
export function float16ToFloat32(bits: Uint16Array, result: Float32Array): void {
  mapElements("widenFloat16", bits, result);
}

/** Rounds float32 to float16 bits, half to even; what is too large becomes infinity, NaN stays NaN. */
export function float32ToFloat16(values: Float32Array, result: Uint16Array): void {
  mapElements("narrowFloat16", values, result);
}

/** The value of float16 bits. */
export function decodeFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? fraction | 0x400 : fraction) * UNITS[exponent];
}

/** The float16 bits nearest to the float32 with the bits `word`. */
export function encodeFloat16(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // halfway to the first value beyond the largest
  if (magnitude >= 0x38800000) return sign | shiftHalfToEven(magnitude - 0x38000000, 13); // exponent bias 127 to 15
  const significand = (magnitude & 0x7fffff) | 0x800000;
  return sign | shiftHalfToEven(significand, Math.min(126 - (magnitude >>> 23), 31)); // subnormal, or zero
}
