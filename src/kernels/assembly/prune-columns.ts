// The column loop of SparseGPT (arXiv:2301.00774) as back-substitution, in the positions of eight-rows.ts:
// w = W[p] + Σ_{k>p} D[k] L[k, p] / L[p, p], D[p] = W[p] − w or, where w is pruned, W[p]. The diagonal of the reference's U is
// 1 / L[p, p], so that the saliency of w, (w / U)², is (w · L[p, p])². What w is before any weight between is pruned follows
// from the same loop with nothing pruned there.

import { EightRows, ROWS } from "./eight-rows";

/**
 * Prunes rows `begin` to `end`, a multiple of eight each but for the last, of the `width` columns in one block of positions.
 * With `prune` above 0, each run of `among` columns loses its `prune` least salient weights, those that are pruned already
 * among them; `chunk` positions at a time, a multiple of `among`.
 *
 * weight, result: [rows, n], columns in their own order; order: the column in each position of the block; factor: [p, k] is
 * L[k, p] inside the block; correction: [width, lanes], Σ D[k] L[k, p] over the positions after the block, replaced by D;
 * pruned: [width, lanes] bytes, 1 for what becomes zero; loss: [lanes] of float64; scratch: room for eight rows and 3 · width
 * numbers of each.
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
  const eight = EightRows.at(scratch, order, factor, correction, lanes, width);
  for (let row = begin; row < end; row += ROWS) {
    eight.gather(weight, row, rows, n);
    let stop = width;
    while (stop > 0) {
      const start = stop > chunk ? stop - chunk : 0;
      eight.sumBlock(start, stop);
      for (let p = stop; p-- > start; ) {
        if (prune > 0 && (width - 1 - p) % among == 0) {
          foresee(eight, p, among);
          for (let lane: usize = 0; lane < ROWS; lane++) choose(eight, pruned + row + lane, lane, p, prune, among);
        }
        prunePosition(eight, pruned + p * lanes + row, p);
        carry(eight, start, p);
      }
      stop = start;
    }
    storeValues(eight, result, n);
    eight.finish(loss);
  }
}

/** D of the `among` positions down from p as if nothing there were pruned. */
function foresee(eight: EightRows, p: usize, among: usize): void {
  const difference = eight.difference;
  for (let back: usize = 0; back < among; back++) {
    const q = p - back;
    const line = eight.factor + ((q * eight.width) << 2);
    const place = (q * ROWS) << 2;
    let sum0 = v128.load(eight.sums + place);
    let sum1 = v128.load(eight.sums + place, 16);
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
function choose(eight: EightRows, pruned: usize, lane: usize, p: usize, prune: usize, among: usize): void {
  const lanes = eight.lanes;
  let count: usize = 0;
  for (let back: usize = 0; back < among; back++) count += load<u8>(pruned + (p - back) * lanes);
  for (; count < prune; count++) {
    let best = p;
    let least: f32 = Infinity;
    for (let back: usize = 0; back < among; back++) {
      const q = p - back;
      if (load<u8>(pruned + q * lanes) != 0) continue;
      const place = (q * ROWS + lane) << 2;
      const current = load<f32>(eight.original + place) - load<f32>(eight.difference + place);
      const value = abs(current * load<f32>(eight.factor + ((q * eight.width + q) << 2)));
      if (value < least) {
        least = value;
        best = q;
      }
    }
    store<u8>(pruned + best * lanes, 1);
  }
}

/** Sets position p of eight rows to what carrying the errors gives, or to zero where it is pruned. */
function prunePosition(eight: EightRows, pruned: usize, p: usize): void {
  const diagonal = v128.load32_splat(eight.factor + ((p * eight.width + p) << 2));
  const marks = i16x8.extend_low_i8x16_u(v128.load64_zero(pruned));
  for (let half: usize = 0; half < 2; half++) {
    const place = ((p * ROWS) << 2) + (half << 4);
    const words = half == 0 ? i32x4.extend_low_i16x8_u(marks) : i32x4.extend_high_i16x8_u(marks);
    const w = v128.load(eight.original + place);
    const target = f32x4.add(w, f32x4.div(v128.load(eight.sums + place), diagonal));
    const value = v128.and(target, i32x4.eq(words, i32x4.splat(0)));
    v128.store(eight.difference + place, f32x4.sub(w, value));
    v128.store(eight.sums + place, f32x4.mul(f32x4.sub(target, value), diagonal));
    v128.store(eight.original + place, value);
  }
}

/** Adds what position p is to the sums of the positions from `start` to p. */
function carry(eight: EightRows, start: usize, p: usize): void {
  const sums = eight.sums;
  const width = eight.width;
  const column = eight.factor + (p << 2);
  const d0 = v128.load(eight.difference + ((p * ROWS) << 2));
  const d1 = v128.load(eight.difference + ((p * ROWS) << 2), 16);
  for (let q = start; q < p; q++) {
    const l = v128.load32_splat(column + ((q * width) << 2));
    const place = sums + ((q * ROWS) << 2);
    v128.store(place, f32x4.add(v128.load(place), f32x4.mul(l, d0)));
    v128.store(place, f32x4.add(v128.load(place, 16), f32x4.mul(l, d1)), 16);
  }
}

/** Hands out the new weights of eight rows, each column to its own place. */
function storeValues(eight: EightRows, result: usize, n: usize): void {
  const original = eight.original;
  const order = eight.order;
  const width = eight.width;
  for (let lane: usize = 0; lane < eight.count; lane++) {
    const line = result + (((eight.row + lane) * n) << 2);
    for (let p: usize = 0; p < width; p++) {
      store<f32>(line + (load<u32>(order + (p << 2)) << 2), load<f32>(original + ((p * ROWS + lane) << 2)));
    }
  }
}
