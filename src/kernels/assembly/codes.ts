// Numbers of four lanes as codes of one byte each, and back. Rounding is half to even; numbers are in the codes' range.

/** Float8 E4M3FN, as the calling side spells it; 0 are integers, 2 is float4 E2M1. */
const FLOAT8: i32 = 1;

/** Beyond this a float32 has no fraction bits left: adding it rounds, and leaves a small whole number in the lowest bits. */
const NO_FRACTION: f32 = 12582912;

/** Codes in the low byte of each lane. */
export function encode(x: v128, kind: i32): v128 {
  if (kind == 0) return f32x4.add(x, f32x4.splat(NO_FRACTION));
  return kind == FLOAT8 ? encodeFloat8(x) : encodeFloat4(x);
}

/** The numbers of four codes, which are the lowest bytes of `codes`. */
export function decode(codes: v128, kind: i32): v128 {
  if (kind == 0) return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(codes)));
  const words = i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(codes));
  return kind == FLOAT8 ? decodeFloat8(words) : decodeFloat4(words);
}

function encodeFloat8(x: v128): v128 {
  const sign = v128.and(x, i32x4.splat(0x80000000));
  const magnitude = v128.xor(x, sign);
  const odd = v128.and(i32x4.shr_u(magnitude, 20), i32x4.splat(1));
  const rounded = i32x4.add(i32x4.add(magnitude, i32x4.splat(0x7ffff)), odd);
  const normal = i32x4.shr_u(i32x4.sub(rounded, i32x4.splat(0x3c000000)), 20); // exponent bias 127 to 7
  const subnormal = f32x4.add(f32x4.mul(magnitude, f32x4.splat(512)), f32x4.splat(NO_FRACTION));
  const code = v128.bitselect(subnormal, normal, f32x4.lt(magnitude, f32x4.splat(0.015625)));
  const known = v128.bitselect(code, i32x4.splat(0x7f), f32x4.eq(x, x));
  return v128.or(known, i32x4.shr_u(sign, 24));
}

function decodeFloat8(words: v128): v128 {
  const sign = i32x4.shl(v128.and(words, i32x4.splat(0x80)), 24);
  const magnitude = v128.and(words, i32x4.splat(0x7f));
  const normal = i32x4.add(i32x4.shl(magnitude, 20), i32x4.splat(0x3c000000));
  const subnormal = f32x4.mul(f32x4.convert_i32x4_s(magnitude), f32x4.splat(0.001953125));
  const finite = v128.bitselect(subnormal, normal, i32x4.lt_s(magnitude, i32x4.splat(8)));
  const value = v128.bitselect(f32x4.splat(NaN), finite, i32x4.eq(magnitude, i32x4.splat(0x7f)));
  return v128.or(value, sign);
}

/** Rounding is on the code, so a bound belongs to the even one of its neighbours; −0 becomes +0. */
function encodeFloat4(x: v128): v128 {
  const magnitude = f32x4.abs(x);
  let code = i32x4.sub(f32x4.gt(x, x), f32x4.gt(magnitude, f32x4.splat(0.25))); // a comparison that holds is −1
  code = i32x4.sub(code, f32x4.ge(magnitude, f32x4.splat(0.75)));
  code = i32x4.sub(code, f32x4.gt(magnitude, f32x4.splat(1.25)));
  code = i32x4.sub(code, f32x4.ge(magnitude, f32x4.splat(1.75)));
  code = i32x4.sub(code, f32x4.gt(magnitude, f32x4.splat(2.5)));
  code = i32x4.sub(code, f32x4.ge(magnitude, f32x4.splat(3.5)));
  code = i32x4.sub(code, f32x4.gt(magnitude, f32x4.splat(5)));
  return v128.or(code, v128.and(f32x4.lt(x, f32x4.splat(0)), i32x4.splat(8)));
}

function decodeFloat4(words: v128): v128 {
  const doubled = i8x16(0, 1, 2, 3, 4, 6, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0);
  const sign = i32x4.shl(v128.and(words, i32x4.splat(8)), 28);
  const twice = i8x16.swizzle(doubled, v128.or(v128.and(words, i32x4.splat(7)), i32x4.splat(0x80808000)));
  return v128.or(f32x4.mul(f32x4.convert_i32x4_s(twice), f32x4.splat(0.5)), sign);
}
