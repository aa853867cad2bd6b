import { shiftHalfToEven } from "./rounding.ts";

/** Widens bfloat16 bits to float32, exactly. */
export function bfloat16ToFloat32(bits: Uint16Array, result: Float32Array): void {
  const words = new Uint32Array(result.buffer, result.byteOffset, result.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
}

/** Rounds float32 to bfloat16 bits, half to even; what is too large becomes infinity, NaN stays NaN. */
export function float32ToBfloat16(values: Float32Array, result: Uint16Array): void {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) result[i] = encodeBfloat16(words[i]);
}

/** The bfloat16 bits nearest to the float32 with the bits `word`. */
export function encodeBfloat16(word: number): number {
  const isNotANumber = (word & 0x7fffffff) > 0x7f800000;
  return isNotANumber ? (word >>> 16) | 0x40 : shiftHalfToEven(word, 16);
}
