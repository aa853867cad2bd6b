import { CompressionError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Statistic } from "./tap.ts";

/** A Hessian made ready for GPTQ: scaled, columns in the order they are visited, dead ones neutral, damped. */
export interface PreparedHessian {
  /** [columns, columns], symmetric. */
  readonly values: Float64Array;
  /** The column to visit at each step. */
  readonly order: Int32Array;
  /** Columns whose input was always zero: their weights do not matter and become zero. */
  readonly dead: readonly number[];
}

/** How a Hessian is made ready. */
export interface HessianOptions {
  /** λ: this share of the mean diagonal is added to the diagonal. */
  readonly dampeningFrac: number;
  /** Whether columns are visited by falling importance, ties by index, instead of in their own order. */
  readonly byImportance: boolean;
}

/**
 * H = 2/n Σ XᵀX of n sequences, as GPTQ (arXiv:2210.17323) takes it.
 * Dead columns get a diagonal of 1; λ · mean(diag H) is added to the diagonal after that.
 *
 * @throws CompressionError if the activations or the damping were not finite; `path` names the module
 */
export function prepareHessian(
  { value, sequences }: Statistic,
  { dampeningFrac, byImportance }: HessianOptions,
  path: string,
): PreparedHessian {
  const columns = value.shape[0];
  const diagonal = Float64Array.from({ length: columns }, (_, i) => (2 / sequences) * value.data[i * columns + i]);
  if (!diagonal.every(Number.isFinite)) {
    throw new CompressionError(
      `${path}: its input is not finite on the calibration data, expected finite numbers. Check the weights before it.`,
    );
  }
  const dead = [...diagonal.keys()].filter((i) => diagonal[i] === 0);
  const order = Int32Array.from(diagonal.keys());
  if (byImportance) order.sort((a, b) => diagonal[b] - diagonal[a] || a - b);
  for (const i of dead) diagonal[i] = 1;
  const damping = dampeningFrac * (diagonal.reduce((sum, entry) => sum + entry, 0) / columns);
  if (!Number.isFinite(damping)) {
    throw new CompressionError(`${path}: a damping of ${damping}, expected a finite one. Lower dampening_frac.`);
  }
  const values = permute(value, order, 2 / sequences);
  for (let i = 0; i < columns; i++) values[i * columns + i] = diagonal[order[i]] + damping;
  return { values, order, dead };
}

/** scale · H[order, order]. */
function permute({ data, shape: [columns] }: Tensor<"F32">, order: Int32Array, scale: number): Float64Array {
  const result = new Float64Array(columns * columns);
  for (let i = 0; i < columns; i++) {
    const row = order[i] * columns;
    for (let j = 0; j < columns; j++) result[i * columns + j] = scale * data[row + order[j]];
  }
  return result;
}
