// Coordinate descent on a rounded weight, as QuantEase (arXiv:2309.01885) does it. With E = W − Ŵ and the error tr(E H Eᵀ),
// G = E H, the best value of one element with all others held is ŵ[p] + G[p] / H[p, p]; the code nearest to it never makes the
// error larger. What a change δ of ŵ[p] does inside the block is G[k] −= δ H[p, k]. Given its codes c (less their zero point),
// the best scale of a group is s + Σ c G / Σ c H c. Rows are independent; eight at a time are worked on, two vectors of four.

const ROWS: usize = 8;

/**
 * Refines rows `begin` to `end`, a multiple of eight each but for the last, of the `width` neighbouring columns of one block.
 *
 * gradient: [width, lanes], G of these columns; difference: [width, lanes], E, brought up to date; hessian: [width, width];
 * scale and zero: [lanes] in float32; codes: the first of these columns in [rows, n]; pruned: the same of [rows, n] bytes, 1
 * for a weight that is zero and stays so, or 0 for none; gain: float64, one a row, by which the error falls; scratch: room for
 * 2 · width · 8 float32. With `refit`, the scale too is improved: as float32 without its last `dropped` bits, where that is at
 * least `smallest`.
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
  begin: usize,
  end: usize,
): void {
  const slopes = scratch; // G[position, row]
  const chosen = slopes + ((width * ROWS) << 2); // codes[position, row], as float32
  for (let row = begin; row < end; row += ROWS) {
    const marks = pruned == 0 ? 0 : pruned + row * n;
    gather(gradient, codes, slopes, chosen, n, lanes, rows, width, row);
    for (let half: usize = 0; half < 2; half++) {
      const shift = half << 4;
      const lane = (row << 2) + shift;
      const first = row + (half << 2);
      const count = first < rows ? min(<usize>4, rows - first) : 0;
      const from = marks == 0 ? 0 : marks + (half << 2) * n;
      const changed = difference + lane;
      let won = descend(
        slopes + shift,
        chosen + shift,
        hessian,
        scale + lane,
        from,
        changed,
        n,
        lanes,
        width,
        count,
        lowest,
        highest,
      );
      if (refit) {
        const more = refitScale(
          slopes + shift,
          chosen + shift,
          hessian,
          scale + lane,
          zero + lane,
          changed,
          lanes,
          width,
          dropped,
          smallest,
        );
        won = f32x4.add(won, more);
      }
      addGains(won, gain + (first << 3), count);
    }
    scatter(chosen, codes, n, width, row, min(ROWS, rows - row));
  }
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
  scale: usize,
  pruned: usize,
  difference: usize,
  n: usize,
  lanes: usize,
  width: usize,
  count: usize,
  lowest: f32,
  highest: f32,
): v128 {
  const s = v128.load(scale);
  let gain = f32x4.splat(0);
  for (let p: usize = 0; p < width; p++) {
    const line = hessian + ((p * width) << 2);
    const place = (p * ROWS) << 2;
    const diagonal = f32x4.splat(load<f32>(line + (p << 2)));
    const before = v128.load(chosen + place);
    const g = v128.load(slopes + place);
    const best = f32x4.add(before, f32x4.div(g, f32x4.mul(diagonal, s)));
    let code = f32x4.nearest(f32x4.min(f32x4.max(best, f32x4.splat(lowest)), f32x4.splat(highest)));
    if (pruned != 0) code = v128.bitselect(before, code, prunedLanes(pruned + p, n, count));
    const delta = f32x4.mul(f32x4.sub(code, before), s);
    if (!v128.any_true(f32x4.ne(code, before))) continue;
    v128.store(chosen + place, code);
    gain = f32x4.add(gain, f32x4.mul(delta, f32x4.sub(f32x4.add(g, g), f32x4.mul(delta, diagonal))));
    const e = difference + ((p * lanes) << 2);
    v128.store(e, f32x4.sub(v128.load(e), delta));
    for (let k: usize = 0; k < width; k++) {
      const slope = slopes + ((k * ROWS) << 2);
      const h = v128.load32_splat(line + (k << 2));
      v128.store(slope, f32x4.sub(v128.load(slope), f32x4.mul(h, delta)));
    }
  }
  return gain;
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

/** Gives four rows the best scale for their codes, as it is stored; returns by how much their errors fall. */
function refitScale(
  slopes: usize,
  chosen: usize,
  hessian: usize,
  scale: usize,
  zero: usize,
  difference: usize,
  lanes: usize,
  width: usize,
  dropped: i32,
  smallest: f32,
): v128 {
  const s = v128.load(scale);
  const z = v128.load(zero);
  let along = f32x4.splat(0); // Σ c G
  let curvature = f32x4.splat(0); // Σ c H c
  for (let p: usize = 0; p < width; p++) {
    const line = hessian + ((p * width) << 2);
    const c = f32x4.sub(v128.load(chosen + ((p * ROWS) << 2)), z);
    let beyond = f32x4.splat(0);
    for (let k = p + 1; k < width; k++) {
      const other = f32x4.sub(v128.load(chosen + ((k * ROWS) << 2)), z);
      beyond = f32x4.add(beyond, f32x4.mul(v128.load32_splat(line + (k << 2)), other));
    }
    const own = f32x4.mul(v128.load32_splat(line + (p << 2)), c);
    along = f32x4.add(along, f32x4.mul(c, v128.load(slopes + ((p * ROWS) << 2))));
    curvature = f32x4.add(curvature, f32x4.mul(c, f32x4.add(own, f32x4.add(beyond, beyond))));
  }
  const wanted = roundBits(f32x4.add(s, f32x4.div(along, curvature)), dropped);
  const change = f32x4.sub(wanted, s);
  const gain = f32x4.mul(change, f32x4.sub(f32x4.add(along, along), f32x4.mul(change, curvature)));
  // Comparisons with NaN, of a group whose codes are all zero, are false.
  const taken = v128.and(f32x4.gt(gain, f32x4.splat(0)), f32x4.ge(wanted, f32x4.splat(smallest)));
  const step = v128.and(change, taken);
  v128.store(scale, v128.bitselect(wanted, s, taken));
  for (let p: usize = 0; p < width; p++) {
    const e = difference + ((p * lanes) << 2);
    const c = f32x4.sub(v128.load(chosen + ((p * ROWS) << 2)), z);
    v128.store(e, f32x4.sub(v128.load(e), f32x4.mul(step, c)));
  }
  return v128.and(gain, taken);
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
