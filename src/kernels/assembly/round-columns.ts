// The column loop of GPTQ (arXiv:2210.17323) as back-substitution. With H = R Rᵀ, R upper triangular, the reference's
// U = cholesky(H⁻¹) is R⁻¹, and carrying each error to the columns still to come is the same as
//   w = W[j] + Σ_{k<j} D[k] R[k, j] / R[j, j],   q = quantise(w),   D[j] = W[j] − dequantise(q),
// which needs no inverse. Rows are independent; eight at a time are worked on, two vectors of four.

const ROWS: usize = 8;
/** Columns whose common part of the sum is computed before they are rounded one by one. */
const BLOCK: usize = 32;

/** Rᵀ in float32 from the factor L of the index-reversed H: Rᵀ[j, k] = L[n−1−k, n−1−j]. */
export function packFactor(l: usize, n: usize, transposed: usize, begin: usize, end: usize): void {
  const last = n - 1;
  for (let j = begin; j < end; j++) {
    for (let k: usize = 0; k <= j; k++) {
      store<f32>(transposed + ((j * n + k) << 2), <f32>load<f64>(l + (((last - k) * n + (last - j)) << 3)));
    }
  }
}

/**
 * Rounds rows `begin` to `end`, which are a multiple of eight but for the last ones.
 *
 * weight, codes: row-major, columns in their own order; factor: Rᵀ in visiting order; order: the column visited at each
 * step; group: index of each column's scale; scale and zero: [rows, groups] in float32; loss: float64, one a row;
 * scratch: room for (3 · n + 2 · groups) · 8 float32.
 */
export function roundRows(
  weight: usize,
  factor: usize,
  order: usize,
  group: usize,
  scale: usize,
  zero: usize,
  codes: usize,
  loss: usize,
  scratch: usize,
  n: usize,
  groups: usize,
  rows: usize,
  lowest: f32,
  highest: f32,
  begin: usize,
  end: usize,
): void {
  const original = scratch; // W[visited column, row]
  const difference = original + ((n * ROWS) << 2); // D[visited column, row]
  const correction = difference + ((n * ROWS) << 2); // Σ D R
  const scales = correction + ((n * ROWS) << 2); // [group, row]
  const zeros = scales + ((groups * ROWS) << 2);
  for (let row = begin; row < end; row += ROWS) {
    gather(weight, n, order, row, rows, original);
    transpose(scale, groups, row, rows, scales);
    transpose(zero, groups, row, rows, zeros);
    roundPanel(
      original,
      difference,
      correction,
      scales,
      zeros,
      factor,
      order,
      group,
      codes,
      loss,
      n,
      row,
      rows,
      lowest,
      highest,
    );
  }
}

/** Eight rows of a matrix, visited column by visited column; rows past the end repeat the last. */
function gather(matrix: usize, n: usize, order: usize, row: usize, rows: usize, panel: usize): void {
  for (let lane: usize = 0; lane < ROWS; lane++) {
    const line = matrix + ((min(row + lane, rows - 1) * n) << 2);
    for (let j: usize = 0; j < n; j++) {
      store<f32>(panel + ((j * ROWS + lane) << 2), load<f32>(line + ((<usize>load<u32>(order + (j << 2))) << 2)));
    }
  }
}

function transpose(matrix: usize, columns: usize, row: usize, rows: usize, panel: usize): void {
  for (let lane: usize = 0; lane < ROWS; lane++) {
    const line = matrix + ((min(row + lane, rows - 1) * columns) << 2);
    for (let j: usize = 0; j < columns; j++) store<f32>(panel + ((j * ROWS + lane) << 2), load<f32>(line + (j << 2)));
  }
}

function roundPanel(
  original: usize,
  difference: usize,
  correction: usize,
  scales: usize,
  zeros: usize,
  factor: usize,
  order: usize,
  group: usize,
  codes: usize,
  loss: usize,
  n: usize,
  row: usize,
  rows: usize,
  lowest: f32,
  highest: f32,
): void {
  const lo = f32x4.splat(lowest);
  const hi = f32x4.splat(highest);
  const lanes = min(ROWS, rows - row);
  for (let lane: usize = 0; lane < lanes; lane++) store<f64>(loss + ((row + lane) << 3), 0);
  for (let start: usize = 0; start < n; start += BLOCK) {
    const stop = min(start + BLOCK, n);
    correctBlock(difference, correction, factor, n, start, stop);
    for (let j = start; j < stop; j++) {
      const line = factor + ((j * n) << 2);
      let sum0 = v128.load(correction + ((j * ROWS) << 2));
      let sum1 = v128.load(correction + ((j * ROWS) << 2), 16);
      for (let k = start; k < j; k++) {
        const r = v128.load32_splat(line + (k << 2));
        sum0 = f32x4.add(sum0, f32x4.mul(r, v128.load(difference + ((k * ROWS) << 2))));
        sum1 = f32x4.add(sum1, f32x4.mul(r, v128.load(difference + ((k * ROWS) << 2), 16)));
      }
      const diagonal = load<f32>(line + (j << 2));
      const column = <usize>load<u32>(order + (j << 2));
      const scaleAt = (<usize>load<u32>(group + (column << 2)) * ROWS) << 2;
      for (let half: usize = 0; half < 2; half++) {
        const shift = half << 4;
        const w = v128.load(original + ((j * ROWS) << 2) + shift);
        const sum = half == 0 ? sum0 : sum1;
        const target = f32x4.add(w, f32x4.div(sum, f32x4.splat(diagonal)));
        const s = v128.load(scales + scaleAt + shift);
        const z = v128.load(zeros + scaleAt + shift);
        const value = f32x4.add(f32x4.div(target, s), z);
        const code = f32x4.nearest(f32x4.min(f32x4.max(value, lo), hi));
        const decoded = f32x4.mul(f32x4.sub(code, z), s);
        v128.store(difference + ((j * ROWS) << 2) + shift, f32x4.sub(w, decoded));
        v128.store(
          correction + ((j * ROWS) << 2) + shift,
          f32x4.mul(f32x4.sub(target, decoded), f32x4.splat(diagonal)),
        );
        v128.store(original + ((j * ROWS) << 2) + shift, code);
      }
      for (let lane: usize = 0; lane < lanes; lane++) {
        const code = load<f32>(original + ((j * ROWS + lane) << 2));
        const error = <f64>load<f32>(correction + ((j * ROWS + lane) << 2));
        store<i8>(codes + (row + lane) * n + column, <i8>code);
        const place = loss + ((row + lane) << 3);
        store<f64>(place, load<f64>(place) + (error * error) / 2);
      }
    }
  }
}

/** correction[j] = Σ_{k<start} R[k, j] · D[k] for the columns `start` to `stop`: four columns of eight rows at once. */
function correctBlock(difference: usize, correction: usize, factor: usize, n: usize, start: usize, stop: usize): void {
  let j = start;
  for (; j + 4 <= stop; j += 4) {
    const line0 = factor + ((j * n) << 2);
    const line1 = line0 + (n << 2);
    const line2 = line1 + (n << 2);
    const line3 = line2 + (n << 2);
    let a0 = f32x4.splat(0);
    let b0 = f32x4.splat(0);
    let a1 = f32x4.splat(0);
    let b1 = f32x4.splat(0);
    let a2 = f32x4.splat(0);
    let b2 = f32x4.splat(0);
    let a3 = f32x4.splat(0);
    let b3 = f32x4.splat(0);
    for (let k: usize = 0; k < start; k++) {
      const a = v128.load(difference + ((k * ROWS) << 2));
      const b = v128.load(difference + ((k * ROWS) << 2), 16);
      const r0 = v128.load32_splat(line0 + (k << 2));
      a0 = f32x4.add(a0, f32x4.mul(r0, a));
      b0 = f32x4.add(b0, f32x4.mul(r0, b));
      const r1 = v128.load32_splat(line1 + (k << 2));
      a1 = f32x4.add(a1, f32x4.mul(r1, a));
      b1 = f32x4.add(b1, f32x4.mul(r1, b));
      const r2 = v128.load32_splat(line2 + (k << 2));
      a2 = f32x4.add(a2, f32x4.mul(r2, a));
      b2 = f32x4.add(b2, f32x4.mul(r2, b));
      const r3 = v128.load32_splat(line3 + (k << 2));
      a3 = f32x4.add(a3, f32x4.mul(r3, a));
      b3 = f32x4.add(b3, f32x4.mul(r3, b));
    }
    const place = correction + ((j * ROWS) << 2);
    v128.store(place, a0);
    v128.store(place, b0, 16);
    v128.store(place, a1, 32);
    v128.store(place, b1, 48);
    v128.store(place, a2, 64);
    v128.store(place, b2, 80);
    v128.store(place, a3, 96);
    v128.store(place, b3, 112);
  }
  for (; j < stop; j++) {
    const line = factor + ((j * n) << 2);
    let a = f32x4.splat(0);
    let b = f32x4.splat(0);
    for (let k: usize = 0; k < start; k++) {
      const r = v128.load32_splat(line + (k << 2));
      a = f32x4.add(a, f32x4.mul(r, v128.load(difference + ((k * ROWS) << 2))));
      b = f32x4.add(b, f32x4.mul(r, v128.load(difference + ((k * ROWS) << 2), 16)));
    }
    v128.store(correction + ((j * ROWS) << 2), a);
    v128.store(correction + ((j * ROWS) << 2), b, 16);
  }
}
