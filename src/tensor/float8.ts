import { shiftHalfToEven } from "./rounding.ts";

/** The value of every float8 E4M3FN pattern: bias 7, 3 fraction bits, no infinities, 0x7f and 0xff are NaN. */
export const FLOAT8_VALUES: Float32Array = Float32Array.from({ length: 256 }, (_, bits) => {
  const [exponent, fraction] = [(bits >>> 3) & 0xf, bits & 7];
  if ((bits & 0x7f) === 0x7f) return Number.NaN;
  return (bits & 0x80 ? -1 : 1) * (exponent ? fraction | 8 : fraction) * 2 ** (Math.max(exponent, 1) - 10);
});

/** Widens float8 E4M3FN bits to float32, exactly. */
export function float8ToFloat32(bits: Uint8Array): Float32Array<ArrayBuffer> {
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = FLOAT8_VALUES[bits[i]];
  return values;
}

/** Rounds float32 to float8 E4M3FN bits, half to even; what rounds beyond 448 becomes NaN, as in PyTorch. */
export function float32ToFloat8(values: Float32Array, result: Uint8Array): void {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) result[i] = encodeFloat8(words[i]);
}

/** The float8 E4M3FN bits nearest to the float32 with the bits `word`. */
export function encodeFloat8(word: number): number {
  const sign = (word >>> 24) & 0x80;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x43e80000) return sign | 0x7f; // above 464, halfway between 448 and what would come next
  if (magnitude >= 0x3c800000) return sign | shiftHalfToEven(magnitude - 0x3c000000, 20); // exponent bias 127 to 7
  const significand = (magnitude & 0x7fffff) | 0x800000;
  return sign | shiftHalfToEven(significand, Math.min(141 - (magnitude >>> 23), 31)); // subnormal, or zero
}
