// What the column loops of GPTQ and SparseGPT share: back-substitution on the rows of a weight W. With the columns in positions
// that are visited from the last to the first, and H = L Lᵀ in these positions, a change D[k] of column k moves the best value of
// column p before it to W[p] + Σ_{k>p} D[k] L[k, p] / L[p, p]. Rows are independent.

/** Rows that are worked on at once, two vectors of four. */
export const ROWS: usize = 8;
/** Bytes at the start of a thread's scratch memory for what a kernel knows of its rows. */
export const HEADER: usize = 128;

/**
 * Eight rows of the `width` columns in one block of positions. It lies where a thread's scratch memory begins, and behind it
 * three panels, [width, 8] of float32.
 */
@unmanaged
export class EightRows {
  /** W[position, row]; once a position is done, what comes of it. */
  original: usize;
  /** D[position, row]. */
  difference: usize;
  /** Σ D L; once a position is done, its error · L[p, p]. */
  sums: usize;
  /** The column in each position of the block. */
  order: usize;
  /** [p, k] is L[k, p] inside the block. */
  factor: usize;
  /** [width, lanes], Σ D[k] L[k, p] over the positions after the block, which D replaces. */
  correction: usize;
  lanes: usize;
  width: usize;
  /** The first of these rows, and how many of them there are. */
  row: usize;
  count: usize;

  static at(scratch: usize, order: usize, factor: usize, correction: usize, lanes: usize, width: usize): EightRows {
    const rows = changetype<EightRows>(scratch);
    const panel = (width * ROWS) << 2;
    rows.original = scratch + HEADER;
    rows.difference = rows.original + panel;
    rows.sums = rows.difference + panel;
    rows.order = order;
    rows.factor = factor;
    rows.correction = correction;
    rows.lanes = lanes;
    rows.width = width;
    return rows;
  }

  /** Takes rows of the weight, [rows, n], from `row` on; those past the end repeat the last. */
  gather(weight: usize, row: usize, rows: usize, n: usize): void {
    this.row = row;
    this.count = min(ROWS, rows - row);
    const order = this.order;
    const width = this.width;
    for (let lane: usize = 0; lane < ROWS; lane++) {
      const line = weight + ((min(row + lane, rows - 1) * n) << 2);
      const to = this.original + (lane << 2);
      for (let p: usize = 0; p < width; p++) {
        store<f32>(to + ((p * ROWS) << 2), load<f32>(line + ((<usize>load<u32>(order + (p << 2))) << 2)));
      }
    }
  }

  /** sums[p] = correction[p] + Σ_{k≥stop} L[k, p] · D[k] for the positions `start` to `stop`: four at once. */
  sumBlock(start: usize, stop: usize): void {
    const sums = this.sums;
    const difference = this.difference;
    const factor = this.factor;
    const lanes = this.lanes;
    const width = this.width;
    const correction = this.correction + (this.row << 2);
    let p = start;
    for (; p + 4 <= stop; p += 4) {
      const line0 = factor + ((p * width) << 2);
      const line1 = line0 + (width << 2);
      const line2 = line1 + (width << 2);
      const line3 = line2 + (width << 2);
      const from0 = correction + ((p * lanes) << 2);
      const from1 = from0 + (lanes << 2);
      const from2 = from1 + (lanes << 2);
      const from3 = from2 + (lanes << 2);
      let a0 = v128.load(from0);
      let b0 = v128.load(from0, 16);
      let a1 = v128.load(from1);
      let b1 = v128.load(from1, 16);
      let a2 = v128.load(from2);
      let b2 = v128.load(from2, 16);
      let a3 = v128.load(from3);
      let b3 = v128.load(from3, 16);
      for (let k = stop; k < width; k++) {
        const a = v128.load(difference + ((k * ROWS) << 2));
        const b = v128.load(difference + ((k * ROWS) << 2), 16);
        const l0 = v128.load32_splat(line0 + (k << 2));
        a0 = f32x4.add(a0, f32x4.mul(l0, a));
        b0 = f32x4.add(b0, f32x4.mul(l0, b));
        const l1 = v128.load32_splat(line1 + (k << 2));
        a1 = f32x4.add(a1, f32x4.mul(l1, a));
        b1 = f32x4.add(b1, f32x4.mul(l1, b));
        const l2 = v128.load32_splat(line2 + (k << 2));
        a2 = f32x4.add(a2, f32x4.mul(l2, a));
        b2 = f32x4.add(b2, f32x4.mul(l2, b));
        const l3 = v128.load32_splat(line3 + (k << 2));
        a3 = f32x4.add(a3, f32x4.mul(l3, a));
        b3 = f32x4.add(b3, f32x4.mul(l3, b));
      }
      const place = sums + ((p * ROWS) << 2);
      v128.store(place, a0);
      v128.store(place, b0, 16);
      v128.store(place, a1, 32);
      v128.store(place, b1, 48);
      v128.store(place, a2, 64);
      v128.store(place, b2, 80);
      v128.store(place, a3, 96);
      v128.store(place, b3, 112);
    }
    for (; p < stop; p++) {
      const line = factor + ((p * width) << 2);
      let a = v128.load(correction + ((p * lanes) << 2));
      let b = v128.load(correction + ((p * lanes) << 2), 16);
      for (let k = stop; k < width; k++) {
        const l = v128.load32_splat(line + (k << 2));
        a = f32x4.add(a, f32x4.mul(l, v128.load(difference + ((k * ROWS) << 2))));
        b = f32x4.add(b, f32x4.mul(l, v128.load(difference + ((k * ROWS) << 2), 16)));
      }
      v128.store(sums + ((p * ROWS) << 2), a);
      v128.store(sums + ((p * ROWS) << 2), b, 16);
    }
  }

  /** Puts D in place of the correction, and adds ½ error² of each row to the loss: [lanes] of float64. */
  finish(loss: usize): void {
    const sums = this.sums;
    const difference = this.difference;
    const correction = this.correction + (this.row << 2);
    const to = loss + (this.row << 3);
    let a = v128.load(to);
    let b = v128.load(to, 16);
    let c = v128.load(to, 32);
    let d = v128.load(to, 48);
    for (let p: usize = 0; p < this.width; p++) {
      const place = (p * ROWS) << 2;
      const corrected = correction + ((p * this.lanes) << 2);
      v128.store(corrected, v128.load(difference + place));
      v128.store(corrected, v128.load(difference + place, 16), 16);
      a = f64x2.add(a, halfSquares(sums + place));
      b = f64x2.add(b, halfSquares(sums + place + 8));
      c = f64x2.add(c, halfSquares(sums + place + 16));
      d = f64x2.add(d, halfSquares(sums + place + 24));
    }
    v128.store(to, a);
    v128.store(to, b, 16);
    v128.store(to, c, 32);
    v128.store(to, d, 48);
  }
}

/** ½ x² of two numbers of float32, in float64. */
function halfSquares(at: usize): v128 {
  const x = f64x2.promote_low_f32x4(v128.load64_zero(at));
  return f64x2.mul(f64x2.mul(x, x), f64x2.splat(0.5));
}
