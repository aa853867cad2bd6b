// Coordinate descent on a rounded weight, as QuantEase (arXiv:2309.01885) does it. With E = W − Ŵ and the error tr(E H Eᵀ),
// G = E H, the best value of one element with all others held is ŵ[p] + G[p] / H[p, p]; the code nearest to it never makes the
// error larger. What changes δ of Ŵ do inside the block is G ← G − H δ, and the error falls by Σ δ (G + G − H δ).
// Codes hold a scale where it is, and it holds them, so other scales are tried together with the codes that suit them; at last,
// given its codes c (less their zero point), the best scale of a group is s + Σ c G / Σ c H c.
// Rows are independent; eight at a time are worked on, two vectors of four.

import { HEADER, ROWS } from "./eight-rows";
import { addValues, changeSlopes, descend, FourRows, nearestCode } from "./four-rows";

/**
 * Refines rows `begin` to `end`, a multiple of eight each but for the last, of the `width` neighbouring columns of one block.
 *
 * gradient: [width, lanes], G of these columns; difference: [width, lanes], E, brought up to date; hessian: [width, width];
 * scale and zero: [lanes] in float32; codes: the first of these columns in [rows, n]; pruned: the same of [rows, n] bytes, 1
 * for a weight that is zero and stays so, or 0 for none; gain: [lanes] of float64, by which the error falls; scratch: room for
 * rows and 5 · width numbers of each. With `refit`, the scale too is improved: `trials` others to each side are tried, `step` of it
 * apart. They are float32 without its last `dropped` bits, and at least `smallest`.
 */
export function refineBlock(
  gradient: usize,
  difference: usize,
  hessian: usize,
  scale: usize,
  zero: usize,
  pruned: usize,
  codes: usize,
  gain: usize,
  scratch: usize,
  n: usize,
  lanes: usize,
  rows: usize,
  width: usize,
  lowest: f32,
  highest: f32,
  refit: bool,
  dropped: i32,
  smallest: f32,
  trials: i32,
  step: f32,
  begin: usize,
  end: usize,
): void {
  const four = FourRows.at(scratch, hessian, n, width, lowest, highest);
  const slopes = scratch + HEADER;
  const chosen = slopes + four.panel;
  for (let row = begin; row < end; row += ROWS) {
    gatherSlopes(gradient + (row << 2), slopes, lanes, width);
    gatherCodes(codes, chosen, n, rows, width, row);
    for (let half: usize = 0; half < 2; half++) {
      const first = row + (half << 2);
      const own = difference + (first << 2);
      four.take(slopes + (half << 4), first, rows, scale, zero, pruned);
      addValues(four, own, four.scale, lanes);
      four.gain = descend(four, four.slopes, four.codes, four.scale);
      if (refit) {
        tryScales(four, trials, step, dropped, smallest);
        fitScale(four, dropped, smallest);
        v128.store(scale + (first << 2), four.scale);
      }
      addValues(four, own, f32x4.neg(four.scale), lanes);
      addGains(four.gain, gain + (first << 3));
    }
    scatterCodes(chosen, codes + row * n, n, width, min(ROWS, rows - row));
  }
}

/** Slopes of eight rows, position by position. */
function gatherSlopes(gradient: usize, slopes: usize, lanes: usize, width: usize): void {
  for (let p: usize = 0; p < width; p++) {
    const from = gradient + ((p * lanes) << 2);
    const to = slopes + ((p * ROWS) << 2);
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
  }
}

/** Codes of eight rows, position by position; those past the end repeat the last row. */
function gatherCodes(codes: usize, chosen: usize, n: usize, rows: usize, width: usize, row: usize): void {
  for (let lane: usize = 0; lane < ROWS; lane++) {
    const line = codes + min(row + lane, rows - 1) * n;
    for (let p: usize = 0; p < width; p++) store<f32>(chosen + ((p * ROWS + lane) << 2), <f32>load<i8>(line + p));
  }
}

/** Hands out the codes of `count` rows. */
function scatterCodes(chosen: usize, codes: usize, n: usize, width: usize, count: usize): void {
  for (let lane: usize = 0; lane < count; lane++) {
    const line = codes + lane * n;
    for (let p: usize = 0; p < width; p++) store<i8>(line + p, <i8>load<f32>(chosen + ((p * ROWS + lane) << 2)));
  }
}

/** Tries scales to each side of that which four rows have, and keeps the best of each. */
function tryScales(four: FourRows, trials: i32, step: f32, dropped: i32, smallest: f32): void {
  const before = four.scale;
  for (let trial = -trials; trial <= trials; trial++) {
    if (trial == 0) continue;
    const other = storable(f32x4.mul(before, f32x4.splat(1 + <f32>trial * step)), dropped, smallest);
    four.improve(other, tryScale(four, other));
  }
}

/**
 * Gives four rows another scale, the codes nearest to what they had, and goes through the positions once. Slopes and codes of
 * rows whose error falls are taken over; returns by how much.
 */
function tryScale(four: FourRows, other: v128): v128 {
  const scale = four.scale;
  const zero = four.zero;
  const slopes = four.slopes;
  const codes = four.codes;
  const panel = four.panel;
  const trialSlopes = codes + panel;
  const trialCodes = trialSlopes + panel;
  const delta = trialCodes + panel;
  for (let place: usize = 0; place < panel; place += ROWS << 2) {
    const value = f32x4.mul(f32x4.sub(v128.load(codes + place), zero), scale);
    const code = nearestCode(f32x4.add(f32x4.div(value, other), zero), four.lowest, four.highest);
    v128.store(trialCodes + place, code);
    v128.store(delta + place, f32x4.sub(f32x4.mul(f32x4.sub(code, zero), other), value));
  }
  let gain = changeSlopes(slopes, trialSlopes, delta, four.hessian, four.width);
  gain = f32x4.add(gain, descend(four, trialSlopes, trialCodes, other));
  const better = f32x4.gt(gain, f32x4.splat(0));
  if (!v128.any_true(better)) return gain;
  for (let place: usize = 0; place < panel; place += ROWS << 2) {
    v128.store(codes + place, v128.bitselect(v128.load(trialCodes + place), v128.load(codes + place), better));
    v128.store(slopes + place, v128.bitselect(v128.load(trialSlopes + place), v128.load(slopes + place), better));
  }
  return gain;
}

/** Gives four rows the best scales for their codes. */
function fitScale(four: FourRows, dropped: i32, smallest: f32): void {
  const along = slopesAlong(four);
  const curvature = curvatureAlong(four);
  const wanted = storable(f32x4.add(four.scale, f32x4.div(along, curvature)), dropped, smallest);
  const change = f32x4.sub(wanted, four.scale);
  four.improve(wanted, f32x4.mul(change, f32x4.sub(f32x4.add(along, along), f32x4.mul(change, curvature))));
}

/** Σ c G of four rows. */
function slopesAlong(four: FourRows): v128 {
  const codes = four.codes;
  const zero = four.zero;
  let along = f32x4.splat(0);
  for (let p: usize = 0; p < four.width; p++) {
    const c = f32x4.sub(v128.load(codes + ((p * ROWS) << 2)), zero);
    along = f32x4.add(along, f32x4.mul(c, v128.load(four.slopes + ((p * ROWS) << 2))));
  }
  return along;
}

/** Σ c H c of four rows. */
function curvatureAlong(four: FourRows): v128 {
  const codes = four.codes;
  const zero = four.zero;
  const width = four.width;
  let curvature = f32x4.splat(0);
  for (let p: usize = 0; p < width; p++) {
    const line = four.hessian + ((p * width) << 2);
    const c = f32x4.sub(v128.load(codes + ((p * ROWS) << 2)), zero);
    let beyond = f32x4.splat(0);
    for (let k = p + 1; k < width; k++) {
      const other = f32x4.sub(v128.load(codes + ((k * ROWS) << 2)), zero);
      beyond = f32x4.add(beyond, f32x4.mul(v128.load32_splat(line + (k << 2)), other));
    }
    const own = f32x4.mul(v128.load32_splat(line + (p << 2)), c);
    curvature = f32x4.add(curvature, f32x4.mul(c, f32x4.add(own, f32x4.add(beyond, beyond))));
  }
  return curvature;
}

/** The nearest scale that can be stored, and is not too small: float32 with fewer bits of mantissa, half to even. */
function storable(scale: v128, dropped: i32, smallest: f32): v128 {
  return f32x4.max(roundBits(scale, dropped), f32x4.splat(smallest));
}

/** Rounds float32 to fewer bits of mantissa, half to even. */
function roundBits(value: v128, dropped: i32): v128 {
  if (dropped == 0) return value;
  const odd = v128.and(i32x4.shr_u(value, dropped), i32x4.splat(1));
  const raised = i32x4.add(value, i32x4.add(odd, i32x4.splat((1 << (dropped - 1)) - 1)));
  return v128.and(raised, i32x4.splat(-1 << dropped));
}

function addGains(gains: v128, to: usize): void {
  v128.store(to, f64x2.add(v128.load(to), f64x2.promote_low_f32x4(gains)));
  const others = i8x16.shuffle(gains, gains, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
  v128.store(to, f64x2.add(v128.load(to, 16), f64x2.promote_low_f32x4(others)), 16);
}
