// Rounding of four float32 values to a narrower dtype, half to even; what is too large becomes infinity, NaN stays NaN.

/** Rounds to the dtype that T stands for: f32 for F32, u16 for BF16, i16 for F16. */
export function roundTo<T>(x: v128): v128 {
  if (isFloat<T>()) return x;
  return isSigned<T>() ? toFloat16(x) : toBfloat16(x);
}

export function toBfloat16(x: v128): v128 {
  const odd = v128.and(i32x4.shr_u(x, 16), i32x4.splat(1));
  const rounded = i32x4.add(i32x4.add(x, i32x4.splat(0x7fff)), odd);
  const quiet = v128.or(x, i32x4.splat(0x400000));
  return v128.and(v128.bitselect(rounded, quiet, f32x4.eq(x, x)), i32x4.splat(0xffff0000));
}

export function toFloat16(x: v128): v128 {
  const sign = v128.and(x, i32x4.splat(0x80000000));
  const magnitude = v128.xor(x, sign);
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  const normal = v128.and(i32x4.add(i32x4.add(magnitude, i32x4.splat(0xfff)), odd), i32x4.splat(0xffffe000));
  // A float32 from ½ to 1 has the unit of float16's subnormals: adding ½ rounds to it.
  const subnormal = f32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), f32x4.splat(0.5));
  const finite = v128.bitselect(subnormal, normal, f32x4.lt(magnitude, f32x4.splat(6.103515625e-5)));
  const infinite = v128.bitselect(f32x4.splat(Infinity), finite, f32x4.ge(magnitude, f32x4.splat(65520)));
  return v128.bitselect(v128.or(infinite, sign), x, f32x4.eq(x, x));
}
