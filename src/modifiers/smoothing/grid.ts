import { minmaxRange } from "../../observers/minmax.ts";
import type { QuantizationArgs } from "../../schemes/arguments.ts";
import { computeQParams, globalScaleOf, largestMagnitude } from "../../schemes/qparams.ts";
import { dequantizeWeight, quantizeWeight } from "../../schemes/quantize.ts";
import { forEachRun, tilingOf } from "../../schemes/tiling.ts";
import { fromFloat32 } from "../../tensor/convert.ts";
import type { FloatDType } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { multiplyColumns } from "./move-factors.ts";

/** A point of AWQ's search: the exponent of activations, and whether weights count too. */
type GridPoint = readonly [ratio: number, duo: boolean];

/** How much AWQ looks at weights: at every point, at none, or each ratio with and without. */
export type DuoScaling = boolean | "both";

/** The points in the order in which they are tried; with `duo` true the first one leaves the weights as they are. */
export function gridPoints(duo: DuoScaling, count: number): GridPoint[] {
  const ratios = (steps: number) => Array.from({ length: steps }, (_, k) => k / (steps - 1));
  if (duo === "both")
    return ratios(Math.floor(count / 2)).flatMap((ratio): GridPoint[] => [
      [ratio, false],
      [ratio, true],
    ]);
  if (!duo) return ratios(count).map((ratio): GridPoint => [ratio, false]);
  return [[0, false], ...ratios(count - 1).map((ratio): GridPoint => [ratio, true])];
}

/** A weight [out, in], and how it will be quantized. */
export interface WeightToQuantize {
  readonly values: Tensor<"F32">;
  readonly args: QuantizationArgs;
  /** The dtype that it is saved in. */
  readonly dtype: FloatDType;
  readonly path: string;
}

/** Mean of |w| / (max |w| + 1e-6) for each column over all rows of all weights, the maximum over all that share a scale. */
export function weightMeans(weights: readonly WeightToQuantize[]): Float64Array {
  const columns = weights[0].values.shape[1];
  const sums = new Float64Array(columns);
  for (const { values, args, path } of weights) {
    const tiling = tilingOf(args, values.shape, path);
    const { min, max } = minmaxRange(values, args, path);
    forEachRun(tiling, values.shape, (start, end, index) => {
      const largest = Math.max(-min.data[index], max.data[index]) + 1e-6;
      for (let i = start; i < end; i++) sums[i % columns] += Math.abs(values.data[i]) / largest;
    });
  }
  const rows = weights.reduce((count, { values }) => count + values.shape[0], 0);
  return sums.map((sum) => sum / rows);
}

/**
 * Factors of one point, from mean magnitudes x of the activations and w of the weights: max(x^r / (w^(1−r) + 1e-4), 1e-4) with
 * `duo`, else max(x^r, 1e-4); divided by the root of the largest times the smallest. What is not finite becomes 1.
 */
export function factorsAt([ratio, duo]: GridPoint, x: Float64Array, w: Float64Array): Float64Array {
  const raw = x.map((value, j) => Math.max(value ** ratio / (duo ? w[j] ** (1 - ratio) + 1e-4 : 1), 1e-4));
  const norm = Math.sqrt(raw.reduce((a, b) => Math.max(a, b)) * raw.reduce((a, b) => Math.min(a, b)));
  return raw.map((value) => (Number.isFinite(value / norm) ? value / norm : 1));
}

/**
 * Q(W · diag(s)) · diag(s)⁻¹ of each weight: what a reader of unscaled activations sees of it when it is quantized once it is
 * scaled. Weights that have a global scale share it.
 */
export function quantizeScaled(weights: readonly WeightToQuantize[], factors: Float64Array): Tensor<"F32">[] {
  const scaled = weights.map(({ values, dtype }) => fromFloat32(multiplyColumns(values, factors), dtype));
  const ranges = weights.map(({ args, path }, index) => minmaxRange(scaled[index], args, path));
  const amax = Math.max(...ranges.map(largestMagnitude));
  const inverse = factors.map((factor) => 1 / factor);
  return weights.map(({ args, dtype, path }, index) => {
    const globalScale = args.strategy === "tensor_group" ? globalScaleOf(amax, dtype) : undefined;
    const qparams = computeQParams(ranges[index], args, dtype, globalScale);
    const rounded = dequantizeWeight(quantizeWeight(scaled[index], qparams, args, path));
    return multiplyColumns(rounded, inverse);
  });
}
