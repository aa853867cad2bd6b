import { CompressionError } from "../errors.ts";
import type { LowerPanels } from "../kernels/lower-panels.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Statistic } from "./tap.ts";

/** A Hessian made ready for GPTQ: scaled, columns in the positions that are visited last to first, dead ones neutral, damped. */
export interface PreparedHessian {
  readonly values: LowerPanels;
  /** The column in each position. */
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
  /** Room for the result. */
  readonly panels: LowerPanels;
}

/**
 * H = 2/n Σ XᵀX of n sequences, as GPTQ (arXiv:2210.17323) takes it.
 * Dead columns get a diagonal of 1; λ · mean(diag H) is added to the diagonal after that.
 *
 * @throws CompressionError if the activations or the damping were not finite; `path` names the module
 */
export function prepareHessian(
  { value, sequences }: Statistic,
  { dampeningFrac, byImportance, panels }: HessianOptions,
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
  const order = Int32Array.from(diagonal.keys()).reverse();
  if (byImportance) order.sort((a, b) => diagonal[a] - diagonal[b] || b - a);
  for (const i of dead) diagonal[i] = 1;
  const damping = dampeningFrac * (diagonal.reduce((sum, entry) => sum + entry, 0) / columns);
  if (!Number.isFinite(damping)) {
    throw new CompressionError(`${path}: a damping of ${damping}, expected a finite one. Lower dampening_frac.`);
  }
  for (let i = 0; i < columns; i++) diagonal[i] += damping;
  permute(value, order, 2 / sequences, diagonal, panels);
  return { values: panels, order, dead };
}

/** Sets the result to the lower triangle of scale · H[order, order], its diagonal replaced by diagonal[order]. */
function permute(
  { data, shape: [columns] }: Tensor<"F32">,
  order: Int32Array,
  scale: number,
  diagonal: Float64Array,
  result: LowerPanels,
): void {
  for (const { start, matrix } of result.panels) {
    const [rows, width] = matrix.shape;
    const target = matrix.data;
    for (let row = 0; row < rows; row++) {
      const [source, place] = [order[start + row] * columns, row * width];
      const count = Math.min(width, row);
      for (let column = 0; column < count; column++)
        target[place + column] = scale * data[source + order[start + column]];
      if (row < width) target[place + row] = diagonal[order[start + row]];
    }
  }
}
