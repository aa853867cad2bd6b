// The column loop of SparseGPT (arXiv:2301.00774) as back-substitution, with the columns in positions and H = L Lᵀ as in
// round-columns.ts: w = W[p] + Σ_{k>p} D[k] L[k, p] / L[p, p], D[p] = W[p] − w or, where w is pruned, W[p]. The diagonal of
// the reference's U is 1 / L[p, p], so that the saliency of w, (w / U)², is (w · L[p, p])². What w is before any weight
// between is pruned follows from the same loop with nothing pruned there.

import { gather, storeDifference, sumBlock } from "./round-columns";

const ROWS: usize = 8;

/**
 * Prunes rows `begin` to `end`, a multiple of eight each but for the last, of the `width` columns in one block of positions.
 * With `prune` above 0, each run of `among` columns loses its `prune` least salient weights, those that are pruned already
 * among them; `chunk` positions at a time, a multiple of `among`.
 *
 * weight, result: [rows, n], columns in their own order; order: the column in each position of the block; factor: [p, k] is
 * L[k, p] inside the block; correction: [width, lanes], Σ D[k] L[k, p] over the positions after the block, replaced by D;
 * pruned: [width, lanes] bytes, 1 for what becomes zero; loss: float64, one a row; scratch: room for 3 · width · 8 float32.
 */
export function pruneBlock(
  weight: usize,
  order: usize,
  factor: usize,
  correction: usize,
  pruned: usize,
  result: usize,
  loss: usize,
  scratch: usize,
  n: usize,
  lanes: usize,
  rows: usize,
  width: usize,
  prune: usize,
  among: usize,
  chunk: usize,
  begin: usize,
  end: usize,
): void {
  const original = scratch; // W[position, row]; once a position is done, its new values
  const difference = original + ((width * ROWS) << 2); // D[position, row]
  const sums = difference + ((width * ROWS) << 2); // Σ D L; once a position is done, its error · L[p, p]
  for (let row = begin; row < end; row += ROWS) {
    gather(weight, n, order, row, rows, width, original);
    let stop = width;
    while (stop > 0) {
      const start = stop > chunk ? stop - chunk : 0;
      sumBlock(sums, difference, factor, correction + (row << 2), lanes, width, start, stop);
      for (let p = stop; p-- > start; ) {
        if (prune > 0 && (width - 1 - p) % among == 0) {
          foresee(difference, sums, factor, width, p, among);
          for (let lane: usize = 0; lane < ROWS; lane++)
            choose(original, difference, factor, pruned + row + lane, lanes, width, lane, p, prune, among);
        }
        prunePosition(original, difference, sums, factor, pruned + p * lanes + row, width, p);
        carry(difference, sums, factor, width, start, p);
      }
      stop = start;
    }
    scatter(original, difference, sums, order, correction, result, loss, n, lanes, width, row, min(ROWS, rows - row));
  }
}

/** D of the `among` positions down from p as if nothing there were pruned. */
function foresee(difference: usize, sums: usize, factor: usize, width: usize, p: usize, among: usize): void {
  for (let back: usize = 0; back < among; back++) {
    const q = p - back;
    const line = factor + ((q * width) << 2);
    const place = (q * ROWS) << 2;
    let sum0 = v128.load(sums + place);
    let sum1 = v128.load(sums + place, 16);
    for (let k = q + 1; k <= p; k++) {
      const l = v128.load32_splat(line + (k << 2));
      sum0 = f32x4.add(sum0, f32x4.mul(l, v128.load(difference + ((k * ROWS) << 2))));
      sum1 = f32x4.add(sum1, f32x4.mul(l, v128.load(difference + ((k * ROWS) << 2), 16)));
    }
    const diagonal = f32x4.splat(-load<f32>(line + (q << 2)));
    v128.store(difference + place, f32x4.div(sum0, diagonal));
    v128.store(difference + place, f32x4.div(sum1, diagonal), 16);
  }
}

/** Marks the least salient weights of one row in the `among` positions down from p; of equal ones the first column. */
function choose(
  original: usize,
  difference: usize,
  factor: usize,
  pruned: usize,
  lanes: usize,
  width: usize,
  lane: usize,
  p: usize,
  prune: usize,
  among: usize,
): void {
  let count: usize = 0;
  for (let back: usize = 0; back < among; back++) count += load<u8>(pruned + (p - back) * lanes);
  for (; count < prune; count++) {
    let best = p;
    let least: f32 = Infinity;
    for (let back: usize = 0; back < among; back++) {
      const q = p - back;
      if (load<u8>(pruned + q * lanes) != 0) continue;
      const place = (q * ROWS + lane) << 2;
      const current = load<f32>(original + place) - load<f32>(difference + place);
      const value = abs(current * load<f32>(factor + ((q * width + q) << 2)));
      if (value < least) {
        least = value;
        best = q;
      }
    }
    store<u8>(pruned + best * lanes, 1);
  }
}

/** Sets position p of eight rows to what carrying the errors gives, or to zero where it is pruned. */
function prunePosition(
  original: usize,
  difference: usize,
  sums: usize,
  factor: usize,
  pruned: usize,
  width: usize,
  p: usize,
): void {
  const place = (p * ROWS) << 2;
  const diagonal = f32x4.splat(load<f32>(factor + ((p * width + p) << 2)));
  const marks = i16x8.extend_low_i8x16_u(v128.load64_zero(pruned));
  for (let half: usize = 0; half < 2; half++) {
    const at = place + (half << 4);
    const words = half == 0 ? i32x4.extend_low_i16x8_u(marks) : i32x4.extend_high_i16x8_u(marks);
    const w = v128.load(original + at);
    const target = f32x4.add(w, f32x4.div(v128.load(sums + at), diagonal));
    const value = v128.and(target, i32x4.eq(words, i32x4.splat(0)));
    v128.store(difference + at, f32x4.sub(w, value));
    v128.store(sums + at, f32x4.mul(f32x4.sub(target, value), diagonal));
    v128.store(original + at, value);
  }
}

/** Adds what position p is to the sums of the positions from `start` to p. */
function carry(difference: usize, sums: usize, factor: usize, width: usize, start: usize, p: usize): void {
  const d0 = v128.load(difference + ((p * ROWS) << 2));
  const d1 = v128.load(difference + ((p * ROWS) << 2), 16);
  for (let q = start; q < p; q++) {
    const l = v128.load32_splat(factor + ((q * width + p) << 2));
    const place = sums + ((q * ROWS) << 2);
    v128.store(place, f32x4.add(v128.load(place), f32x4.mul(l, d0)));
    v128.store(place, f32x4.add(v128.load(place, 16), f32x4.mul(l, d1)), 16);
  }
}

/** Hands out what became of eight rows: D in place of the correction, the new weights, and ½ error² added to the loss. */
function scatter(
  original: usize,
  difference: usize,
  sums: usize,
  order: usize,
  correction: usize,
  result: usize,
  loss: usize,
  n: usize,
  lanes: usize,
  width: usize,
  row: usize,
  count: usize,
): void {
  storeDifference(difference, correction, lanes, width, row);
  for (let lane: usize = 0; lane < count; lane++) {
    const line = result + (((row + lane) * n) << 2);
    let sum = load<f64>(loss + ((row + lane) << 3));
    for (let p: usize = 0; p < width; p++) {
      store<f32>(line + (load<u32>(order + (p << 2)) << 2), load<f32>(original + ((p * ROWS + lane) << 2)));
      const error = <f64>load<f32>(sums + ((p * ROWS + lane) << 2));
      sum += (error * error) / 2;
    }
    store<f64>(loss + ((row + lane) << 3), sum);
  }
}
