// The column loop of GPTQ (arXiv:2210.17323) as back-substitution: in the positions of eight-rows.ts the reference's
// U = cholesky(H⁻¹) is the inverse of L with both sides reversed, and carrying each error to the columns still to come is the
// same as
//   w = W[p] + Σ_{k>p} D[k] L[k, p] / L[p, p],   q = quantise(w),   D[p] = W[p] − dequantise(q),
// which needs no inverse.

import { EightRows, ROWS } from "./eight-rows";

/** Positions whose common part of the sum is computed before they are rounded one by one. */
const BLOCK: usize = 32;

/**
 * Rounds rows `begin` to `end`, a multiple of eight each but for the last, of the `width` columns in one block of positions.
 *
 * weight, codes: [rows, n], columns in their own order; order: the column in each position of the block; group: index of
 * each column's scale; scale and zero: [groups, lanes] in float32; pruned: [rows, n] bytes, 1 for a weight that is zero and
 * stays so, or 0 for none; factor: [p, k] is L[k, p] inside the block;
 * correction: [width, lanes], Σ D[k] L[k, p] over the positions after the block, replaced by D; loss: [lanes] of float64;
 * scratch: room for eight rows and 3 · width numbers of each. lowest, highest: numbers that have codes; fraction: bits of a
 * float's fraction, 0 for integers; smallest: the least float that is not subnormal.
 */
export function roundBlock(
  weight: usize,
  order: usize,
  group: usize,
  scale: usize,
  zero: usize,
  pruned: usize,
  factor: usize,
  correction: usize,
  codes: usize,
  loss: usize,
  scratch: usize,
  n: usize,
  lanes: usize,
  rows: usize,
  width: usize,
  lowest: f32,
  highest: f32,
  smallest: f32,
  fraction: u32,
  begin: usize,
  end: usize,
): void {
  const eight = EightRows.at(scratch, order, factor, correction, lanes, width);
  for (let row = begin; row < end; row += ROWS) {
    eight.gather(weight, row, rows, n);
    let stop = width;
    while (stop > 0) {
      const start = stop > BLOCK ? stop - BLOCK : 0;
      eight.sumBlock(start, stop);
      for (let p = stop; p-- > start; ) {
        const column = <usize>load<u32>(order + (p << 2));
        const place = (<usize>load<u32>(group + (column << 2)) * lanes + row) << 2;
        roundPosition(eight, scale + place, zero + place, p, stop, lowest, highest, smallest, fraction);
        if (pruned != 0) clearPruned(eight, pruned + row * n + column, n, scale + place, zero + place, p);
      }
      stop = start;
    }
    if (fraction > 0) encodeFloats(eight.original, width, smallest, fraction);
    storeCodes(eight, codes, n);
    eight.finish(loss);
  }
}

/** Rounds position p of eight rows, those from p + 1 to `stop` being rounded. */
function roundPosition(
  eight: EightRows,
  scale: usize,
  zero: usize,
  p: usize,
  stop: usize,
  lowest: f32,
  highest: f32,
  smallest: f32,
  fraction: u32,
): void {
  const line = eight.factor + ((p * eight.width) << 2);
  const difference = eight.difference;
  let sum0 = v128.load(eight.sums + ((p * ROWS) << 2));
  let sum1 = v128.load(eight.sums + ((p * ROWS) << 2), 16);
  for (let k = p + 1; k < stop; k++) {
    const l = v128.load32_splat(line + (k << 2));
    sum0 = f32x4.add(sum0, f32x4.mul(l, v128.load(difference + ((k * ROWS) << 2))));
    sum1 = f32x4.add(sum1, f32x4.mul(l, v128.load(difference + ((k * ROWS) << 2), 16)));
  }
  const diagonal = v128.load32_splat(line + (p << 2));
  for (let half: usize = 0; half < 2; half++) {
    const shift = half << 4;
    const place = ((p * ROWS) << 2) + shift;
    const w = v128.load(eight.original + place);
    const target = f32x4.add(w, f32x4.div(half == 0 ? sum0 : sum1, diagonal));
    const s = v128.load(scale + shift);
    const z = v128.load(zero + shift);
    const value = f32x4.add(f32x4.div(target, s), z);
    const clamped = f32x4.min(f32x4.max(value, f32x4.splat(lowest)), f32x4.splat(highest));
    const code = fraction == 0 ? f32x4.nearest(clamped) : nearestFloats(clamped, smallest, fraction);
    const decoded = f32x4.mul(f32x4.sub(code, z), s);
    v128.store(difference + place, f32x4.sub(w, decoded));
    v128.store(eight.sums + place, f32x4.mul(f32x4.sub(target, decoded), diagonal));
    v128.store(eight.original + place, code);
  }
}

/** The floats nearest to four numbers, half to even: steps are a power of two of each number's own, those of `smallest` below it. */
function nearestFloats(values: v128, smallest: f32, fraction: u32): v128 {
  const powers = v128.and(values, i32x4.splat(0x7f800000));
  const steps = f32x4.mul(f32x4.max(powers, f32x4.splat(smallest)), f32x4.splat(1 / <f32>(1 << fraction)));
  return f32x4.mul(f32x4.nearest(f32x4.div(values, steps)), steps);
}

/** Puts the bits of floats, as numbers, in place of the floats; a zero has no sign. */
function encodeFloats(codes: usize, width: usize, smallest: f32, fraction: u32): void {
  const shift = 23 - fraction;
  const bias = (reinterpret<u32>(smallest) >> shift) - ((<u32>1) << fraction);
  const sign: f32 = fraction == 3 ? 128 : 8;
  for (let at = codes; at < codes + ((width * ROWS) << 2); at += 4) {
    const value = load<f32>(at);
    const magnitude = abs(value);
    const bits =
      magnitude < smallest
        ? (magnitude / smallest) * <f32>(1 << fraction)
        : <f32>((reinterpret<u32>(magnitude) >> shift) - bias);
    store<f32>(at, value < 0 ? bits + sign : bits);
  }
}

/** Undoes the rounding of position p where a weight is pruned: its code is that of zero, whatever was carried to it. */
function clearPruned(eight: EightRows, pruned: usize, n: usize, scale: usize, zero: usize, p: usize): void {
  const diagonal = load<f32>(eight.factor + ((p * eight.width + p) << 2));
  for (let lane: usize = 0; lane < eight.count; lane++) {
    if (load<u8>(pruned + lane * n) == 0) continue;
    const shift = lane << 2;
    const place = ((p * ROWS) << 2) + shift;
    const z = load<f32>(zero + shift);
    const decoded = (load<f32>(eight.original + place) - z) * load<f32>(scale + shift);
    store<f32>(eight.original + place, z);
    store<f32>(eight.difference + place, load<f32>(eight.difference + place) + decoded);
    store<f32>(eight.sums + place, load<f32>(eight.sums + place) + decoded * diagonal);
  }
}

/** Hands out the codes of eight rows, each column to its own place. */
function storeCodes(eight: EightRows, codes: usize, n: usize): void {
  const first = codes + eight.row * n;
  const count = eight.count;
  for (let p: usize = 0; p < eight.width; p++) {
    const from = eight.original + ((p * ROWS) << 2);
    v128.store(from, i32x4.trunc_sat_f32x4_s(v128.load(from)));
    v128.store(from, i32x4.trunc_sat_f32x4_s(v128.load(from, 16)), 16);
    const to = first + load<u32>(eight.order + (p << 2));
    for (let lane: usize = 0; lane < count; lane++) store<u8>(to + lane * n, load<u8>(from + (lane << 2)));
  }
}
