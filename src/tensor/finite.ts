/** The exponent bits of a float32; all are set in infinities and NaN, and only there. */
const EXPONENT = 0x7f800000;

/** Index of the first value that is NaN or infinite; −1 if there is none. */
export function findNonFinite(values: Float32Array): number {
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) if ((words[i] & EXPONENT) === EXPONENT) return i;
  return -1;
}
