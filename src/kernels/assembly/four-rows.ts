// Four rows of a weight while their codes are refined, and what makes their error smaller: G ← G − H δ for changes δ of Ŵ, by which
// the error falls by Σ δ (G + G − H δ).

import { ROWS } from "./eight-rows";

/**
 * Four of eight rows of the `width` neighbouring columns of one block. It lies where a thread's scratch memory begins, and behind
 * it five panels, [width, 8] of float32, in which these rows have every other vector: their slopes and codes, then three for a
 * trial: slopes, codes, changes of Ŵ.
 */
@unmanaged
export class FourRows {
  scale: v128;
  zero: v128;
  /** By how much the error of each row has fallen. */
  gain: v128;
  /** G[position, row]. */
  slopes: usize;
  /** codes[position, row], as float32. */
  codes: usize;
  /** Bytes of a panel. */
  panel: usize;
  /** [width, width]. */
  hessian: usize;
  /** [count, n] bytes, 1 for a weight that is zero and stays so; or 0 for none. */
  pruned: usize;
  n: usize;
  width: usize;
  /** How many of the rows there are. */
  count: usize;
  lowest: f32;
  highest: f32;

  static at(scratch: usize, hessian: usize, n: usize, width: usize, lowest: f32, highest: f32): FourRows {
    const four = changetype<FourRows>(scratch);
    four.panel = (width * ROWS) << 2;
    four.hessian = hessian;
    four.n = n;
    four.width = width;
    four.lowest = lowest;
    four.highest = highest;
    return four;
  }

  /** Takes the rows from `first` on, of which `slopes` has the first slope. */
  take(slopes: usize, first: usize, rows: usize, scale: usize, zero: usize, pruned: usize): void {
    this.slopes = slopes;
    this.codes = slopes + this.panel;
    this.count = first < rows ? min(<usize>4, rows - first) : 0;
    this.scale = v128.load(scale + (first << 2));
    this.zero = v128.load(zero + (first << 2));
    this.gain = f32x4.splat(0);
    this.pruned = pruned == 0 ? 0 : pruned + first * this.n;
  }

  /** Takes another scale for the rows whose error that makes smaller, by `gain`. */
  improve(scale: v128, gain: v128): void {
    const better = f32x4.gt(gain, f32x4.splat(0)); // false for NaN, of a group whose codes are all zero
    this.scale = v128.bitselect(scale, this.scale, better);
    this.gain = f32x4.add(this.gain, v128.and(gain, better));
  }
}

/** Adds what the codes of four rows stand for, with a scale, to E. */
export function addValues(four: FourRows, difference: usize, scale: v128, lanes: usize): void {
  const codes = four.codes;
  const zero = four.zero;
  const width = four.width;
  for (let p: usize = 0; p < width; p++) {
    const e = difference + ((p * lanes) << 2);
    const c = f32x4.sub(v128.load(codes + ((p * ROWS) << 2)), zero);
    v128.store(e, f32x4.add(v128.load(e), f32x4.mul(c, scale)));
  }
}

/** Goes through the positions once; returns by how much the error of each of four rows falls. */
export function descend(four: FourRows, slopes: usize, codes: usize, scale: v128): v128 {
  const hessian = four.hessian;
  const width = four.width;
  const lowest = four.lowest;
  const highest = four.highest;
  const pruned = four.pruned;
  let gain = f32x4.splat(0);
  for (let p: usize = 0; p < width; p++) {
    const line = hessian + ((p * width) << 2);
    const place = (p * ROWS) << 2;
    const diagonal = f32x4.splat(load<f32>(line + (p << 2)));
    const before = v128.load(codes + place);
    const g = v128.load(slopes + place);
    let code = nearestCode(f32x4.add(before, f32x4.div(g, f32x4.mul(diagonal, scale))), lowest, highest);
    if (pruned != 0) code = v128.bitselect(before, code, prunedLanes(pruned + p, four.n, four.count));
    if (!v128.any_true(f32x4.ne(code, before))) continue;
    const delta = f32x4.mul(f32x4.sub(code, before), scale);
    v128.store(codes + place, code);
    gain = f32x4.add(gain, f32x4.mul(delta, f32x4.sub(f32x4.add(g, g), f32x4.mul(delta, diagonal))));
    for (let k: usize = 0; k < width; k++) {
      const slope = slopes + ((k * ROWS) << 2);
      const h = v128.load32_splat(line + (k << 2));
      v128.store(slope, f32x4.sub(v128.load(slope), f32x4.mul(h, delta)));
    }
  }
  return gain;
}

/** G − H δ of four rows, four positions at once; returns by how much their errors fall. */
export function changeSlopes(slopes: usize, changed: usize, delta: usize, hessian: usize, width: usize): v128 {
  let gain = f32x4.splat(0);
  let p: usize = 0;
  for (; p + 4 <= width; p += 4) {
    const line0 = hessian + ((p * width) << 2);
    const line1 = line0 + (width << 2);
    const line2 = line1 + (width << 2);
    const line3 = line2 + (width << 2);
    const place = (p * ROWS) << 2;
    let g0 = v128.load(slopes + place);
    let g1 = v128.load(slopes + place, 32);
    let g2 = v128.load(slopes + place, 64);
    let g3 = v128.load(slopes + place, 96);
    for (let k: usize = 0; k < width; k++) {
      const d = v128.load(delta + ((k * ROWS) << 2));
      g0 = f32x4.sub(g0, f32x4.mul(v128.load32_splat(line0 + (k << 2)), d));
      g1 = f32x4.sub(g1, f32x4.mul(v128.load32_splat(line1 + (k << 2)), d));
      g2 = f32x4.sub(g2, f32x4.mul(v128.load32_splat(line2 + (k << 2)), d));
      g3 = f32x4.sub(g3, f32x4.mul(v128.load32_splat(line3 + (k << 2)), d));
    }
    v128.store(changed + place, g0);
    v128.store(changed + place, g1, 32);
    v128.store(changed + place, g2, 64);
    v128.store(changed + place, g3, 96);
  }
  for (; p < width; p++) {
    const line = hessian + ((p * width) << 2);
    let g = v128.load(slopes + ((p * ROWS) << 2));
    for (let k: usize = 0; k < width; k++) {
      g = f32x4.sub(g, f32x4.mul(v128.load32_splat(line + (k << 2)), v128.load(delta + ((k * ROWS) << 2))));
    }
    v128.store(changed + ((p * ROWS) << 2), g);
  }
  for (p = 0; p < width; p++) {
    const place = (p * ROWS) << 2;
    const both = f32x4.add(v128.load(slopes + place), v128.load(changed + place));
    gain = f32x4.add(gain, f32x4.mul(v128.load(delta + place), both));
  }
  return gain;
}

/** The code nearest to each of four numbers. */
export function nearestCode(value: v128, lowest: f32, highest: f32): v128 {
  return f32x4.nearest(f32x4.min(f32x4.max(value, f32x4.splat(lowest)), f32x4.splat(highest)));
}

/** All bits of the lanes whose weight is pruned. */
function prunedLanes(marks: usize, n: usize, count: usize): v128 {
  let lanes = i32x4.splat(0);
  if (count > 0) lanes = i32x4.replace_lane(lanes, 0, load<u8>(marks));
  if (count > 1) lanes = i32x4.replace_lane(lanes, 1, load<u8>(marks + n));
  if (count > 2) lanes = i32x4.replace_lane(lanes, 2, load<u8>(marks + 2 * n));
  if (count > 3) lanes = i32x4.replace_lane(lanes, 3, load<u8>(marks + 3 * n));
  return i32x4.ne(lanes, i32x4.splat(0));
}
