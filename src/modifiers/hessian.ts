import { CompressionError } from "../errors.ts";
import type { LowerPanels } from "../kernels/lower-panels.ts";
import { dequantizeWeight, type QuantizedWeight, squaredDistanceToCodes } from "../schemes/quantize.ts";
import { decibels } from "../tensor/comparison.ts";
import { difference, squaredDistance } from "../tensor/difference.ts";
import { Tensor } from "../tensor/tensor.ts";
import { expectFiniteInput } from "./finite.ts";
import type { CompressionStage, FinalizeContext } from "./modifier.ts";
import type { Statistic } from "./tap.ts";

/** A Hessian made ready for GPTQ: scaled, columns in the positions that are visited last to first, dead ones neutral, damped. */
export interface PreparedHessian {
  readonly values: LowerPanels;
  /** The column in each position. */
  readonly order: Int32Array;
  /** Columns whose input was always zero: their weights do not matter and become zero. */
  readonly dead: readonly number[];
  /** What was added to the diagonal. */
  readonly damping: number;
  /** The damped diagonal, column by column. */
  readonly diagonal: Float64Array;
}

/** How a Hessian is made ready. */
interface HessianOptions {
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
  expectFiniteInput(diagonal, path);
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
  return { values: panels, order, dead, damping, diagonal };
}

/** Sets the result to the lower triangle of scale · H[order, order], its diagonal replaced by diagonal[order]. */
function permute(
  { data, shape: [columns] }: Tensor<"F32">,
  order: Int32Array,
  scale: number,
  diagonal: Float64Array,
  { panels }: LowerPanels,
): void {
  // A row at a time for all panels: each row of H is fetched from memory once.
  for (let row = 0; row < columns; row++) {
    const source = data.subarray(order[row] * columns, (order[row] + 1) * columns);
    for (const { start, matrix } of panels) {
      if (start > row) break;
      const width = matrix.shape[1];
      const target = matrix.data.subarray((row - start) * width, (row - start + 1) * width);
      scaleAt(source, order.subarray(start, Math.min(start + width, row)), scale, target);
      if (row - start < width) target[row - start] = diagonal[order[row]];
    }
  }
}

/** target[i] = scale · source[places[i]]. */
function scaleAt(source: Float32Array, places: Int32Array, scale: number, target: Float32Array): void {
  for (let i = 0; i < places.length; i++) target[i] = scale * source[places[i]];
}

/** A weight with zeros in `columns`; the weight itself where there are none. */
export function withoutColumns(weight: Tensor<"F32">, columns: readonly number[]): Tensor<"F32"> {
  if (columns.length === 0) return weight;
  const [rows, width] = weight.shape;
  const data = weight.data.slice();
  for (let row = 0; row < rows; row++) for (const column of columns) data[row * width + column] = 0;
  return new Tensor("F32", weight.shape, data);
}

/** A weight W before and after it was changed. */
interface ChangedWeight {
  readonly before: Tensor<"F32">;
  readonly after: Tensor<"F32"> | QuantizedWeight;
  /** ½ trace(D H Dᵀ) of the difference D with the damped Hessian H, where it is known; it saves a product of matrices. */
  readonly loss?: number;
}

/**
 * What a changed weight does to a module's output, in decibels of the output's own energy:
 * 10 log₁₀(trace(D XᵀX Dᵀ) / trace(W XᵀX Wᵀ)). The damping in `loss`, ½ λ ‖D‖², is no error and is left out.
 */
export async function relativeError(
  { kernels }: CompressionStage,
  { before, after, loss }: ChangedWeight,
  { value, sequences }: Statistic,
  { damping }: PreparedHessian,
): Promise<number> {
  const error =
    loss === undefined
      ? await kernels.quadraticForm(difference(before, isTensor(after) ? after : dequantizeWeight(after)), value)
      : sequences * (loss - (damping * distance(before, after)) / 2);
  return decibels(Math.max(0, error) / (await kernels.quadraticForm(before, value)));
}

function isTensor(weight: Tensor<"F32"> | QuantizedWeight): weight is Tensor<"F32"> {
  return "data" in weight;
}

/** ‖D‖², without a copy of codes as values. */
function distance(before: Tensor<"F32">, after: Tensor<"F32"> | QuantizedWeight): number {
  return isTensor(after) ? squaredDistance(before.data, after.data) : squaredDistanceToCodes(before, after);
}

/** Says once, at the end, which of `total` modules got `fallback` because their Hessian could not be factorised. */
export function warnOfFailures({ warn, reports }: FinalizeContext, total: number, fallback: string): void {
  const failed = reports.flatMap((report) => (report.fallback === fallback ? [report.module] : []));
  if (failed.length === 0) return;
  warn(
    `the Hessian could not be factorised for ${failed.length} of ${total} modules, which were ${fallback} instead: ` +
      `${failed.slice(0, 10).join(", ")}${failed.length > 10 ? ", …" : ""}. ` +
      "Raise dampening_frac, or use more or shuffled samples.",
  );
}
