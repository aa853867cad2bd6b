// Loops over all elements of an array. They may write a few elements past its end.

import { toBfloat16 } from "./rounding";

/** Widens bfloat16 to float32. */
export function widenBfloat16(from: usize, to: usize, count: usize): void {
  for (let i: usize = 0; i < count; i += 8) {
    const bits = v128.load(from + (i << 1));
    v128.store(to + (i << 2), i32x4.shl(i32x4.extend_low_i16x8_u(bits), 16));
    v128.store(to + (i << 2), i32x4.shl(i32x4.extend_high_i16x8_u(bits), 16), 16);
  }
}

/** Rounds float32 to bfloat16, half to even. */
export function narrowBfloat16(from: usize, to: usize, count: usize): void {
  for (let i: usize = 0; i < count; i += 8) {
    const low = i32x4.shr_u(toBfloat16(v128.load(from + (i << 2))), 16);
    const high = i32x4.shr_u(toBfloat16(v128.load(from + (i << 2), 16)), 16);
    v128.store(to + (i << 1), i16x8.narrow_i32x4_u(low, high));
  }
}

/** Index of the first float32 that is NaN or infinite; `count` if there is none. */
export function findNonFinite(from: usize, count: usize): usize {
  const exponent = i32x4.splat(0x7f800000);
  let i: usize = 0;
  for (; i + 4 <= count; i += 4) {
    const bits = v128.and(v128.load(from + (i << 2)), exponent);
    if (v128.any_true(i32x4.eq(bits, exponent))) break;
  }
  while (i < count && (load<u32>(from + (i << 2)) & 0x7f800000) != 0x7f800000) i++;
  return i;
}
