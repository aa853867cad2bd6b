/** The largest order that {@link paleyMatrix} is asked for: products with such a matrix take time in its square. */
const LARGEST = 1024;

/**
 * A Hadamard matrix of the given order by Paley's constructions (1933): I for a prime q = order − 1, q mod 4 = 3; II for a prime
 * q = order / 2 − 1, q mod 4 = 1. Rows are negated where that makes the first column all ones.
 *
 * @returns order × order signs, row by row; undefined where neither construction fits
 */
export function paleyMatrix(order: number): Float64Array | undefined {
  if (order === 1) return Float64Array.of(1);
  if (order % 4 !== 0 || order > LARGEST) return undefined;
  const [first, second] = [order - 1, order / 2 - 1];
  if (first % 4 === 3 && isPrime(first)) return normalized(constructFirst(first), order);
  if (second % 4 === 1 && isPrime(second)) return normalized(constructSecond(second), order);
  return undefined;
}

/** I + [[0, 1ᵀ], [−1, Q]] with Q the residues' differences. */
function constructFirst(q: number): Float64Array {
  const core = conference(q, -1);
  for (let i = 0; i <= q; i++) core[i * (q + 1) + i] = 1;
  return core;
}

/** Each entry c of the symmetric conference matrix becomes c · [[1, 1], [1, −1]], those on the diagonal [[1, −1], [−1, −1]]. */
function constructSecond(q: number): Float64Array {
  const [core, order] = [conference(q, 1), 2 * (q + 1)];
  const matrix = new Float64Array(order * order);
  for (let i = 0; i < order; i++) {
    for (let j = 0; j < order; j++) {
      const [bottom, right] = [i % 2 === 1, j % 2 === 1];
      const entry = core[(i >> 1) * (q + 1) + (j >> 1)];
      if (entry === 0) matrix[i * order + j] = bottom || right ? -1 : 1;
      else matrix[i * order + j] = bottom && right ? -entry : entry;
    }
  }
  return matrix;
}

/** [[0, 1ᵀ], [edge · 1, Q]], where Q[i, j] is the Legendre symbol of i − j. */
function conference(q: number, edge: number): Float64Array {
  const symbol = new Float64Array(q).fill(-1);
  for (let i = 1; i < q; i++) symbol[(i * i) % q] = 1;
  symbol[0] = 0;
  const order = q + 1;
  const matrix = new Float64Array(order * order);
  for (let i = 0; i < q; i++) {
    matrix[i + 1] = 1;
    matrix[(i + 1) * order] = edge;
    for (let j = 0; j < q; j++) matrix[(i + 1) * order + j + 1] = symbol[(i - j + q) % q];
  }
  return matrix;
}

function normalized(matrix: Float64Array, order: number): Float64Array {
  return matrix.map((entry, index) => entry * matrix[index - (index % order)]);
}

function isPrime(value: number): boolean {
  if (value < 2) return false;
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return true;
}
