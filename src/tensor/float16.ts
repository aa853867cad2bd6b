import { roundHalfToEven } from "./rounding.ts";

/** Widens float16 bits to float32, exactly. */
export function float16ToFloat32(bits: Uint16Array): Float32Array<ArrayBuffer> {
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = decodeFloat16(bits[i]);
  return values;
}

/** Rounds float32 to float16 bits, half to even; what is too large becomes infinity, NaN stays NaN. */
export function float32ToFloat16(values: Float32Array, result: Uint16Array): void {
  for (let i = 0; i < values.length; i++) result[i] = encodeFloat16(values[i]);
}

/** The value of float16 bits. */
export function decodeFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >> 10) & 0x1f, bits & 0x3ff];
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The float16 bits nearest to a value. */
export function encodeFloat16(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (magnitude >= 65520) return sign | 0x7c00; // halfway to the first value beyond the largest
  if (magnitude < 2 ** -14) return sign | roundHalfToEven(magnitude * 2 ** 24);
  const exponent = Math.floor(Math.log2(magnitude));
  const exact = magnitude < 2 ** exponent ? exponent - 1 : magnitude >= 2 ** (exponent + 1) ? exponent + 1 : exponent;
  return sign | (((exact + 14) << 10) + roundHalfToEven((magnitude / 2 ** exact) * 1024));
}
