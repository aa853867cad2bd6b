/** Widens bfloat16 bits to float32, exactly. */
export function bfloat16ToFloat32(bits: Uint16Array, result: Float32Array): void {
  const words = new Int32Array(result.buffer, result.byteOffset, result.length);
  // Two at a time: a load of 32 bits costs as much as one of 16.
  const paired = bits.byteOffset % 4 === 0 ? bits.length & ~1 : 0;
  const pairs = new Int32Array(bits.buffer, bits.byteOffset & ~3, paired >>> 1);
  for (let i = 0; i < paired; i += 2) {
    const pair = pairs[i >>> 1];
    words[i] = pair << 16;
    words[i + 1] = pair & 0xffff0000;
  }
  for (let i = paired; i < bits.length; i++) words[i] = bits[i] << 16;
}

/** Rounds float32 to bfloat16 bits, half to even; what is too large becomes infinity, NaN stays NaN. */
export function float32ToBfloat16(values: Float32Array, result: Uint16Array): void {
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) result[i] = encodeBfloat16(words[i]);
}

/** The bfloat16 bits nearest to the float32 with the bits `word`. */
export function encodeBfloat16(word: number): number {
  const isNotANumber = (word & 0x7fffffff) > 0x7f800000;
  // Whole numbers of 32 bits throughout: a sum that may pass 2^32 would be one of doubles.
  return isNotANumber ? (word >>> 16) | 0x40 : ((word + 0x7fff + ((word >>> 16) & 1)) | 0) >>> 16;
}
