import { mapElements } from "../wasm/map-elements.ts";

/** Widens bfloat16 bits to float32, exactly. */
export function bfloat16ToFloat32(bits: Uint16Array, result: Float32Array): void {
  mapElements("widenBfloat16", bits, result);
}

/** Rounds float32 to bfloat16 bits, half to even; what is too large becomes infinity, NaN stays NaN. */
export function float32ToBfloat16(values: Float32Array, result: Uint16Array): void {
  mapElements("narrowBfloat16", values, result);
}

/** The bfloat16 bits nearest to the float32 with the bits `word`. */
export function encodeBfloat16(word: number): number {
  const isNotANumber = (word & 0x7fffffff) > 0x7f800000;
  // Whole numbers of 32 bits throughout: a sum that may pass 2^32 would be one of doubles.
  return isNotANumber ? (word >>> 16) | 0x40 : ((word + 0x7fff + ((word >>> 16) & 1)) | 0) >>> 16;
}
