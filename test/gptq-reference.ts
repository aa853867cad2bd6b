import type { ColumnProblem } from "../src/kernels/column-problem.ts";
import { type LowerPanels, takeLowerPanels } from "../src/kernels/lower-panels.ts";
import type { RoundedColumns } from "../src/kernels/round-columns.ts";
import { codeTypeOf } from "../src/schemes/code-type.ts";
import { Buffers } from "../src/tensor/buffers.ts";
import { decodePlainly, encodePlainly, type PlainScale } from "./plain-codes.ts";

/** Numbers between -1 and 1 that depend on the seed alone. */
export function randomValues(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (state + 0x6d2b79f5) | 0; // mulberry32
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 31 - 1;
  });
}

/** 2/t · XᵀX of t random inputs whose columns are of different size and correlated, damped. */
export function randomHessian(columns: number, seed: number): Float64Array<ArrayBuffer> {
  const inputs = 2 * columns + 4;
  const noise = randomValues(inputs * columns, seed);
  const x = noise.map((value, at) => (value + (noise[at - 1] ?? 0)) * (1 + ((at % columns) % 5)));
  const hessian = new Float64Array(columns ** 2);
  for (let t = 0; t < inputs; t++) {
    const row = x.subarray(t * columns, (t + 1) * columns);
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) hessian[i * columns + j] += (2 / inputs) * row[i] * row[j];
    }
  }
  return dampAndPermute(
    hessian,
    Int32Array.from({ length: columns }, (_, i) => i),
  );
}

/** The positions of columns in GPTQ's static ordering, the first to be visited last: by rising diagonal, ties by index. */
export function byImportance(hessian: Float64Array, columns: number): Int32Array {
  const importance = (column: number) => hessian[column * columns + column];
  return Int32Array.from({ length: columns }, (_, i) => i).sort((a, b) => importance(a) - importance(b) || b - a);
}

/** (H + fraction · mean(diag H) · I)[order, order]. */
export function dampAndPermute(hessian: Float64Array, order: Int32Array, fraction = 0.01): Float64Array<ArrayBuffer> {
  const n = order.length;
  const trace = order.reduce((sum, i) => sum + hessian[i * n + i], 0);
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    return hessian[order[i] * n + order[j]] + (i === j ? (fraction * trace) / n : 0);
  });
}

/** The lower triangle of a symmetric matrix as kernels take it. */
export function lowerPanelsOf(matrix: Float64Array): LowerPanels {
  const lower = takeLowerPanels(Math.sqrt(matrix.length), new Buffers());
  for (const { start, matrix: panel } of lower.panels) {
    const width = panel.shape[1];
    for (let at = 0; at < panel.data.length; at++) {
      panel.data[at] = matrix[(start + Math.floor(at / width)) * lower.columns + start + (at % width)];
    }
  }
  return lower;
}

/**
 * The loop of the paper (arXiv:2210.17323) as it stands there: U = cholesky(H⁻¹), upper, and after each column its error
 * is carried to all columns still to come. In float64, but for the division by the scale, which decides ties.
 */
export function roundColumnsDirectly(hessian: Float64Array, problem: ColumnProblem): RoundedColumns {
  const { weight } = problem;
  const order = problem.order.toReversed(); // as visited
  const n = order.length;
  const u = upperCholesky(invert(hessian.toReversed(), n), n);
  const codes = problem.type === "float" ? new Uint8Array(weight.length) : new Int8Array(weight.length);
  let loss = 0;
  for (let start = 0; start < weight.length; start += n) {
    const row = Float64Array.from(order, (column) => weight[start + column]);
    for (const [j, column] of order.entries()) {
      const kept = problem.pruned?.[start + column] === 1;
      const { code, value } = roundToNearest(problem, start / n, column, kept ? 0 : row[j]);
      codes[start + column] = code;
      const error = (row[j] - value) / u[j * n + j];
      loss += error ** 2 / 2;
      for (let k = j; k < n; k++) row[k] -= error * u[j * n + k];
    }
  }
  return { codes, loss };
}

function roundToNearest(problem: ColumnProblem, row: number, column: number, value: number) {
  const { weight, scale, zeroPoint, groupOfColumn, numBits, type = "int" } = problem;
  const groups = scale.length / (weight.length / groupOfColumn.length);
  const at = row * groups + groupOfColumn[column];
  const zero = zeroPoint?.[at] ?? 0;
  const { min, max, kind } = codeTypeOf({ type, numBits });
  const plain: PlainScale = { kind, dtype: "F32", scale: scale[at], zeroPoint: zero, range: [min, max] };
  const found = encodePlainly(Math.fround(value), plain);
  const code = type === "float" && decodePlainly(found, plain) === 0 ? 0 : found; // no negative zero
  return { code, value: (decodePlainly(code, { ...plain, scale: 1, zeroPoint: 0 }) - zero) * scale[at] };
}

/** By Gauss and Jordan, without pivoting: for symmetric positive definite matrices. */
export function invert(matrix: Float64Array, n: number): Float64Array {
  const rest = matrix.slice();
  for (let p = 0; p < n; p++) {
    const pivot = rest[p * n + p];
    rest[p * n + p] = 1;
    for (let j = 0; j < n; j++) rest[p * n + j] /= pivot;
    for (let i = 0; i < n; i++) {
      if (i === p) continue;
      const factor = rest[i * n + p];
      rest[i * n + p] = 0;
      for (let j = 0; j < n; j++) rest[i * n + j] -= factor * rest[p * n + j];
    }
  }
  return rest;
}

/** U, upper triangular, with UᵀU = A. */
export function upperCholesky(matrix: Float64Array, n: number): Float64Array {
  const u = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      let rest = matrix[i * n + j];
      for (let k = 0; k < i; k++) rest -= u[k * n + i] * u[k * n + j];
      u[i * n + j] = i === j ? Math.sqrt(rest) : rest / u[i * n + i];
    }
  }
  return u;
}
