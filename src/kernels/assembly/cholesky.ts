// Blocked Cholesky factorisation A = L Lᵀ in place, in float64, of a row-major n × n matrix; only the lower triangle is
// read and written. Each step takes `width` columns from `start` on: first their diagonal block, then the panel below it,
// then the trailing matrix. Rows of the last two are independent.

function at(a: usize, n: usize, row: usize, column: usize): usize {
  return a + ((row * n + column) << 3);
}

/** Σ x[p] · y[p] for p < count. */
function dot(x: usize, y: usize, count: usize): f64 {
  let sum = f64x2.splat(0);
  let p: usize = 0;
  for (; p + 2 <= count; p += 2) {
    sum = f64x2.add(sum, f64x2.mul(v128.load(x + (p << 3)), v128.load(y + (p << 3))));
  }
  let result = f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
  if (p < count) result += load<f64>(x + (p << 3)) * load<f64>(y + (p << 3));
  return result;
}

/** Factorises the diagonal block; returns false where it is not positive definite. */
export function factorDiagonal(a: usize, n: usize, start: usize, width: usize): bool {
  for (let i = start; i < start + width; i++) {
    for (let j = start; j <= i; j++) {
      const rest = load<f64>(at(a, n, i, j)) - dot(at(a, n, i, start), at(a, n, j, start), j - start);
      if (i == j) {
        if (!(rest > 0)) return false;
        store<f64>(at(a, n, i, i), sqrt(rest));
      } else {
        store<f64>(at(a, n, i, j), rest / load<f64>(at(a, n, j, j)));
      }
    }
  }
  return true;
}

/** Solves rows `begin` to `end` of the panel: L[i, block] = A[i, block] · L[block, block]⁻ᵀ. */
export function solvePanel(a: usize, n: usize, start: usize, width: usize, begin: usize, end: usize): void {
  for (let i = begin; i < end; i++) {
    for (let j = start; j < start + width; j++) {
      const rest = load<f64>(at(a, n, i, j)) - dot(at(a, n, i, start), at(a, n, j, start), j - start);
      store<f64>(at(a, n, i, j), rest / load<f64>(at(a, n, j, j)));
    }
  }
}

/** Subtracts the panel's part from rows `begin` to `end` of the trailing matrix: A[i, j] −= L[i, block] · L[j, block]. */
export function updateTrailing(a: usize, n: usize, start: usize, width: usize, begin: usize, end: usize): void {
  const first = start + width;
  let i = begin;
  for (; i + 2 <= end; i += 2) {
    let j = first;
    for (; j + 2 <= i + 1; j += 2) subtractTile(a, n, start, width, i, j);
    for (; j <= i + 1; j++) {
      if (j <= i) subtractOne(a, n, start, width, i, j);
      subtractOne(a, n, start, width, i + 1, j);
    }
  }
  for (; i < end; i++) for (let j = first; j <= i; j++) subtractOne(a, n, start, width, i, j);
}

function subtractOne(a: usize, n: usize, start: usize, width: usize, i: usize, j: usize): void {
  const place = at(a, n, i, j);
  store<f64>(place, load<f64>(place) - dot(at(a, n, i, start), at(a, n, j, start), width));
}

/** Two rows and two columns at once: four products from four loads. `width` is even: only the last block's may be odd. */
function subtractTile(a: usize, n: usize, start: usize, width: usize, i: usize, j: usize): void {
  const x0 = at(a, n, i, start);
  const x1 = at(a, n, i + 1, start);
  const y0 = at(a, n, j, start);
  const y1 = at(a, n, j + 1, start);
  let s00 = f64x2.splat(0);
  let s01 = f64x2.splat(0);
  let s10 = f64x2.splat(0);
  let s11 = f64x2.splat(0);
  for (let p: usize = 0; p < width; p += 2) {
    const u0 = v128.load(x0 + (p << 3));
    const u1 = v128.load(x1 + (p << 3));
    const v0 = v128.load(y0 + (p << 3));
    const v1 = v128.load(y1 + (p << 3));
    s00 = f64x2.add(s00, f64x2.mul(u0, v0));
    s01 = f64x2.add(s01, f64x2.mul(u0, v1));
    s10 = f64x2.add(s10, f64x2.mul(u1, v0));
    s11 = f64x2.add(s11, f64x2.mul(u1, v1));
  }
  const r00 = f64x2.extract_lane(s00, 0) + f64x2.extract_lane(s00, 1);
  const r01 = f64x2.extract_lane(s01, 0) + f64x2.extract_lane(s01, 1);
  const r10 = f64x2.extract_lane(s10, 0) + f64x2.extract_lane(s10, 1);
  const r11 = f64x2.extract_lane(s11, 0) + f64x2.extract_lane(s11, 1);
  const upper = at(a, n, i, j);
  const lower = at(a, n, i + 1, j);
  store<f64>(upper, load<f64>(upper) - r00);
  store<f64>(upper, load<f64>(upper, 8) - r01, 8);
  store<f64>(lower, load<f64>(lower) - r10);
  store<f64>(lower, load<f64>(lower, 8) - r11, 8);
}
