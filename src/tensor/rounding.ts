/** Beyond this a double has no fraction bits left, so that adding it rounds. */
const NO_FRACTION = 1.5 * 2 ** 52;

/** The nearest integer, of two equally near the even one; for |x| < 2^51. NaN stays NaN, −0 becomes 0. */
export function roundHalfToEven(x: number): number {
  return x + NO_FRACTION - NO_FRACTION;
}

/** `bits`, an unsigned word, without its lowest `count` (1 to 31) bits, rounded half to even. */
export function shiftHalfToEven(bits: number, count: number): number {
  return (bits + ((1 << (count - 1)) - 1) + ((bits >>> count) & 1)) >>> count;
}
