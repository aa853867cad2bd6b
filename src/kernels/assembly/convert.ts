// Loops over all elements of an array. They may write a few elements past its end.

import { toBfloat16, toFloat16 } from "./rounding";

/** 2 to the power of the difference between the biases of float32's and float16's exponents. */
const BIAS: f32 = 5.192296858534828e33;

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

/** Widens float16 to float32. */
export function widenFloat16(from: usize, to: usize, count: usize): void {
  for (let i: usize = 0; i < count; i += 8) {
    const bits = v128.load(from + (i << 1));
    v128.store(to + (i << 2), fromFloat16(i32x4.extend_low_i16x8_u(bits)));
    v128.store(to + (i << 2), fromFloat16(i32x4.extend_high_i16x8_u(bits)), 16);
  }
}

/** Rounds float32 to float16, half to even. */
export function narrowFloat16(from: usize, to: usize, count: usize): void {
  for (let i: usize = 0; i < count; i += 8) {
    const low = float16Bits(v128.load(from + (i << 2)));
    const high = float16Bits(v128.load(from + (i << 2), 16));
    v128.store(to + (i << 1), i16x8.narrow_i32x4_u(low, high));
  }
}

/** Exponent and fraction move to their places in float32; a product, exact for subnormals too, makes up for the other bias. */
function fromFloat16(bits: v128): v128 {
  const sign = i32x4.shl(v128.and(bits, i32x4.splat(0x8000)), 16);
  const magnitude = i32x4.shl(v128.and(bits, i32x4.splat(0x7fff)), 13);
  const isFinite = i32x4.lt_s(magnitude, i32x4.splat(0x7c00 << 13));
  const value = f32x4.mul(magnitude, f32x4.splat(BIAS));
  return v128.or(v128.or(value, v128.andnot(i32x4.splat(0x7f800000), isFinite)), sign);
}

/** The inverse, after rounding. */
function float16Bits(x: v128): v128 {
  const rounded = toFloat16(x);
  const sign = v128.and(i32x4.shr_u(rounded, 16), i32x4.splat(0x8000));
  const magnitude = f32x4.mul(f32x4.abs(rounded), f32x4.splat(1 / BIAS));
  const finite = i32x4.min_u(i32x4.shr_u(magnitude, 13), i32x4.splat(0x7c00));
  return v128.or(v128.or(finite, v128.and(f32x4.ne(x, x), i32x4.splat(0x200))), sign);
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
