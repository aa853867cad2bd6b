// One panel of a blocked Cholesky factorisation A = L Lᵀ in float32: rows of `width` columns, the diagonal block first.
// Only the lower triangle of that block is read and written. The rows below are independent of one another.

function at(a: usize, width: usize, row: usize, column: usize): usize {
  return a + ((row * width + column) << 2);
}

/** The four partial sums of Σ x[p] · y[p] for p < count, which is a multiple of four. */
function dot(x: usize, y: usize, count: usize): v128 {
  let sum = f32x4.splat(0);
  for (let p: usize = 0; p < count; p += 4) {
    sum = f32x4.add(sum, f32x4.mul(v128.load(x + (p << 2)), v128.load(y + (p << 2))));
  }
  return sum;
}

/** Adds the partial sums, and the products that are left from `done` to `count`. */
function finish(sum: v128, x: usize, y: usize, done: usize, count: usize): f32 {
  let result = f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1);
  result += f32x4.extract_lane(sum, 2) + f32x4.extract_lane(sum, 3);
  for (let p = done; p < count; p++) result += load<f32>(x + (p << 2)) * load<f32>(y + (p << 2));
  return result;
}

/** Factorises the diagonal block; returns false where it is not positive definite. */
export function factorDiagonal(a: usize, width: usize): bool {
  for (let i: usize = 0; i < width; i++) {
    const row = at(a, width, i, 0);
    for (let j: usize = 0; j < i; j++) store<f32>(row + (j << 2), solved(a, width, row, j));
    const done = i & ~3;
    const rest = load<f32>(row + (i << 2)) - finish(dot(row, row, done), row, row, done, i);
    if (!(rest > 0)) return false;
    store<f32>(row + (i << 2), sqrt(rest));
  }
  return true;
}

/** Element j of a row of L, those before it being solved: (a[j] − Σ_{p<j} x[p] L[j, p]) / L[j, j]. */
function solved(a: usize, width: usize, row: usize, j: usize): f32 {
  const line = at(a, width, j, 0);
  const done = j & ~3;
  return (load<f32>(row + (j << 2)) - finish(dot(row, line, done), row, line, done, j)) / load<f32>(line + (j << 2));
}

/** Solves rows `begin` to `end`, four at a time, which gives what one at a time gives. */
export function solveRows(a: usize, width: usize, begin: usize, end: usize): void {
  let i = begin;
  for (; i + 4 <= end; i += 4) solveFour(a, width, at(a, width, i, 0));
  for (; i < end; i++) {
    const row = at(a, width, i, 0);
    for (let j: usize = 0; j < width; j++) store<f32>(row + (j << 2), solved(a, width, row, j));
  }
}

function solveFour(a: usize, width: usize, row0: usize): void {
  const row1 = row0 + (width << 2);
  const row2 = row1 + (width << 2);
  const row3 = row2 + (width << 2);
  for (let j: usize = 0; j < width; j++) {
    const line = at(a, width, j, 0);
    const done = j & ~3;
    let sum0 = f32x4.splat(0);
    let sum1 = f32x4.splat(0);
    let sum2 = f32x4.splat(0);
    let sum3 = f32x4.splat(0);
    for (let p: usize = 0; p < done; p += 4) {
      const l = v128.load(line + (p << 2));
      sum0 = f32x4.add(sum0, f32x4.mul(v128.load(row0 + (p << 2)), l));
      sum1 = f32x4.add(sum1, f32x4.mul(v128.load(row1 + (p << 2)), l));
      sum2 = f32x4.add(sum2, f32x4.mul(v128.load(row2 + (p << 2)), l));
      sum3 = f32x4.add(sum3, f32x4.mul(v128.load(row3 + (p << 2)), l));
    }
    const diagonal = load<f32>(line + (j << 2));
    const place = j << 2;
    store<f32>(row0 + place, (load<f32>(row0 + place) - finish(sum0, row0, line, done, j)) / diagonal);
    store<f32>(row1 + place, (load<f32>(row1 + place) - finish(sum1, row1, line, done, j)) / diagonal);
    store<f32>(row2 + place, (load<f32>(row2 + place) - finish(sum2, row2, line, done, j)) / diagonal);
    store<f32>(row3 + place, (load<f32>(row3 + place) - finish(sum3, row3, line, done, j)) / diagonal);
  }
}
