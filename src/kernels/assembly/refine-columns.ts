// Coordinate descent on a rounded weight, as QuantEase (arXiv:2309.01885) does it. With E = W − Ŵ and the error tr(E H Eᵀ),
// G = E H, the best value of one element with all others held is ŵ[p] + G[p] / H[p, p]; the code nearest to it never makes the
// error larger. What changes δ of Ŵ do inside the block is G ← G − H δ, and the error falls by Σ δ (G + G − H δ).
// Codes hold a scale where it is, and it holds them, so other scales are tried together with the codes that suit them; at last,
// given its codes c (less their zero point), the best scale of a group is s + Σ c G / Σ c H c.
// Rows are independent; eight at a time are worked on, two vectors of four.

const ROWS: usize = 8;

/**
 * Refines rows `begin` to `end`, a multiple of eight each but for the last, of the `width` neighbouring columns of one block.
 *
 * gradient: [width, lanes], G of these columns; difference: [width, lanes], E, brought up to date; hessian: [width, width];
 * scale and zero: [lanes] in float32; codes: the first of these columns in [rows, n]; pruned: the same of [rows, n] bytes, 1
 * for a weight that is zero and stays so, or 0 for none; gain: float64, one a row, by which the error falls; scratch: room for
 * 5 · width · 8 float32. With `refit`, the scale too is improved: `trials` others to each side are tried, `step` of it apart.
 * They are float32 without its last `dropped` bits, and at least `smallest`.
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
  const panel = (width * ROWS) << 2;
  for (let row = begin; row < end; row += ROWS) {
    gather(gradient, codes, scratch, scratch + panel, n, lanes, rows, width, row);
    for (let half: usize = 0; half < 2; half++) {
      const shift = half << 4;
      const first = row + (half << 2);
      const count = first < rows ? min(<usize>4, rows - first) : 0;
      const slopes = scratch + shift; // G[position, row]
      const chosen = slopes + panel; // codes[position, row], as float32
      const marks = pruned == 0 ? 0 : pruned + first * n;
      const before = v128.load(scale + (first << 2));
      const z = v128.load(zero + (first << 2));
      addValues(chosen, difference + (first << 2), before, z, lanes, width);
      let s = before;
      let won = descend(slopes, chosen, hessian, s, marks, n, width, count, lowest, highest);
      if (refit) {
        const limit = f32x4.splat(smallest);
        for (let trial = -trials; trial <= trials; trial++) {
          if (trial == 0) continue;
          const factor = f32x4.splat(1 + <f32>trial * step);
          const other = f32x4.max(roundBits(f32x4.mul(before, factor), dropped), limit);
          const more = tryScale(slopes, chosen, hessian, s, other, z, marks, panel, n, width, count, lowest, highest);
          const better = f32x4.gt(more, f32x4.splat(0));
          s = v128.bitselect(other, s, better);
          won = f32x4.add(won, v128.and(more, better));
        }
        const along = slopesAlong(slopes, chosen, z, width);
        const curvature = curvatureAlong(chosen, hessian, z, width);
        const wanted = f32x4.max(roundBits(f32x4.add(s, f32x4.div(along, curvature)), dropped), limit);
        const change = f32x4.sub(wanted, s);
        const more = f32x4.mul(change, f32x4.sub(f32x4.add(along, along), f32x4.mul(change, curvature)));
        const better = f32x4.gt(more, f32x4.splat(0)); // false for NaN, of a group whose codes are all zero
        s = v128.bitselect(wanted, s, better);
        won = f32x4.add(won, v128.and(more, better));
        v128.store(scale + (first << 2), s);
      }
      addValues(chosen, difference + (first << 2), f32x4.neg(s), z, lanes, width);
      addGains(won, gain + (first << 3), count);
    }
    scatter(scratch + panel, codes, n, width, row, min(ROWS, rows - row));
  }
}

/** Adds what the codes of four rows stand for, with a scale, to E. */
function addValues(chosen: usize, difference: usize, scale: v128, zero: v128, lanes: usize, width: usize): void {
  for (let p: usize = 0; p < width; p++) {
    const e = difference + ((p * lanes) << 2);
    const c = f32x4.sub(v128.load(chosen + ((p * ROWS) << 2)), zero);
    v128.store(e, f32x4.add(v128.load(e), f32x4.mul(c, scale)));
  }
}

/**
 * Gives four rows another scale, the codes nearest to what they had, and goes through the positions once. Slopes and codes of
 * rows whose error falls are taken over; returns by how much. Three panels for the trial lie behind the slopes and the codes.
 */
function tryScale(
  slopes: usize,
  chosen: usize,
  hessian: usize,
  scale: v128,
  other: v128,
  zero: v128,
  marks: usize,
  panel: usize,
  n: usize,
  width: usize,
  count: usize,
  lowest: f32,
  highest: f32,
): v128 {
  const trialSlopes = chosen + panel;
  const trialCodes = trialSlopes + panel;
  const delta = trialCodes + panel;
  for (let place: usize = 0; place < panel; place += ROWS << 2) {
    const value = f32x4.mul(f32x4.sub(v128.load(chosen + place), zero), scale);
    const code = nearestCode(f32x4.add(f32x4.div(value, other), zero), lowest, highest);
    v128.store(trialCodes + place, code);
    v128.store(delta + place, f32x4.sub(f32x4.mul(f32x4.sub(code, zero), other), value));
  }
  let gain = changeSlopes(slopes, trialSlopes, delta, hessian, width);
  gain = f32x4.add(gain, descend(trialSlopes, trialCodes, hessian, other, marks, n, width, count, lowest, highest));
  const better = f32x4.gt(gain, f32x4.splat(0));
  if (!v128.any_true(better)) return gain;
  for (let place: usize = 0; place < panel; place += ROWS << 2) {
    v128.store(chosen + place, v128.bitselect(v128.load(trialCodes + place), v128.load(chosen + place), better));
    v128.store(slopes + place, v128.bitselect(v128.load(trialSlopes + place), v128.load(slopes + place), better));
  }
  return gain;
}

/** G − H δ of four rows, four positions at once; returns by how much their errors fall. */
function changeSlopes(slopes: usize, changed: usize, delta: usize, hessian: usize, width: usize): v128 {
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

/** Slopes and codes of eight rows, position by position; codes past the end repeat the last row. */
function gather(
  gradient: usize,
  codes: usize,
  slopes: usize,
  chosen: usize,
  n: usize,
  lanes: usize,
  rows: usize,
  width: usize,
  row: usize,
): void {
  for (let p: usize = 0; p < width; p++) {
    const from = gradient + ((p * lanes + row) << 2);
    const to = slopes + ((p * ROWS) << 2);
    v128.store(to, v128.load(from));
    v128.store(to, v128.load(from, 16), 16);
  }
  for (let lane: usize = 0; lane < ROWS; lane++) {
    const line = codes + min(row + lane, rows - 1) * n;
    for (let p: usize = 0; p < width; p++) store<f32>(chosen + ((p * ROWS + lane) << 2), <f32>load<i8>(line + p));
  }
}

/** Goes through the positions once; returns by how much the error of each of four rows falls. */
function descend(
  slopes: usize,
  chosen: usize,
  hessian: usize,
  scale: v128,
  pruned: usize,
  n: usize,
  width: usize,
  count: usize,
  lowest: f32,
  highest: f32,
): v128 {
  let gain = f32x4.splat(0);
  for (let p: usize = 0; p < width; p++) {
    const line = hessian + ((p * width) << 2);
    const place = (p * ROWS) << 2;
    const diagonal = f32x4.splat(load<f32>(line + (p << 2)));
    const before = v128.load(chosen + place);
    const g = v128.load(slopes + place);
    let code = nearestCode(f32x4.add(before, f32x4.div(g, f32x4.mul(diagonal, scale))), lowest, highest);
    if (pruned != 0) code = v128.bitselect(before, code, prunedLanes(pruned + p, n, count));
    if (!v128.any_true(f32x4.ne(code, before))) continue;
    const delta = f32x4.mul(f32x4.sub(code, before), scale);
    v128.store(chosen + place, code);
    gain = f32x4.add(gain, f32x4.mul(delta, f32x4.sub(f32x4.add(g, g), f32x4.mul(delta, diagonal))));
    for (let k: usize = 0; k < width; k++) {
      const slope = slopes + ((k * ROWS) << 2);
      const h = v128.load32_splat(line + (k << 2));
      v128.store(slope, f32x4.sub(v128.load(slope), f32x4.mul(h, delta)));
    }
  }
  return gain;
}

function nearestCode(value: v128, lowest: f32, highest: f32): v128 {
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

/** Σ c G of four rows. */
function slopesAlong(slopes: usize, chosen: usize, zero: v128, width: usize): v128 {
  let along = f32x4.splat(0);
  for (let p: usize = 0; p < width; p++) {
    const c = f32x4.sub(v128.load(chosen + ((p * ROWS) << 2)), zero);
    along = f32x4.add(along, f32x4.mul(c, v128.load(slopes + ((p * ROWS) << 2))));
  }
  return along;
}

/** Σ c H c of four rows. */
function curvatureAlong(chosen: usize, hessian: usize, zero: v128, width: usize): v128 {
  let curvature = f32x4.splat(0);
  for (let p: usize = 0; p < width; p++) {
    const line = hessian + ((p * width) << 2);
    const c = f32x4.sub(v128.load(chosen + ((p * ROWS) << 2)), zero);
    let beyond = f32x4.splat(0);
    for (let k = p + 1; k < width; k++) {
      const other = f32x4.sub(v128.load(chosen + ((k * ROWS) << 2)), zero);
      beyond = f32x4.add(beyond, f32x4.mul(v128.load32_splat(line + (k << 2)), other));
    }
    const own = f32x4.mul(v128.load32_splat(line + (p << 2)), c);
    curvature = f32x4.add(curvature, f32x4.mul(c, f32x4.add(own, f32x4.add(beyond, beyond))));
  }
  return curvature;
}

/** Rounds float32 to fewer bits of mantissa, half to even. */
function roundBits(value: v128, dropped: i32): v128 {
  if (dropped == 0) return value;
  const odd = v128.and(i32x4.shr_u(value, dropped), i32x4.splat(1));
  const raised = i32x4.add(value, i32x4.add(odd, i32x4.splat((1 << (dropped - 1)) - 1)));
  return v128.and(raised, i32x4.splat(-1 << dropped));
}

function addGains(gains: v128, to: usize, count: usize): void {
  if (count > 0) store<f64>(to, load<f64>(to) + <f64>f32x4.extract_lane(gains, 0));
  if (count > 1) store<f64>(to + 8, load<f64>(to + 8) + <f64>f32x4.extract_lane(gains, 1));
  if (count > 2) store<f64>(to + 16, load<f64>(to + 16) + <f64>f32x4.extract_lane(gains, 2));
  if (count > 3) store<f64>(to + 24, load<f64>(to + 24) + <f64>f32x4.extract_lane(gains, 3));
}

/** Hands out the codes of `count` rows. */
function scatter(chosen: usize, codes: usize, n: usize, width: usize, row: usize, count: usize): void {
  for (let lane: usize = 0; lane < count; lane++) {
    const line = codes + (row + lane) * n;
    for (let p: usize = 0; p < width; p++) store<i8>(line + p, <i8>load<f32>(chosen + ((p * ROWS + lane) << 2)));
  }
}
