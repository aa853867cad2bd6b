import { tileExtremes } from "../kernels/tiles.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import type { Range } from "../schemes/qparams.ts";
import { tilesOf, tilingOf } from "../schemes/tiling.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { findNonFinite } from "../tensor/finite.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import { combineAveraging, combineExtremes, combineLast } from "./combine.ts";
import { finiteWeight } from "./finite-weight.ts";
import type { Observer } from "./observer.ts";

/**
 * The smallest and the largest element under each scale of a weight; `where` names the module in errors.
 *
 * @throws CompressionError naming the place of a NaN or infinity
 */
export function minmaxRange(weight: Tensor<FloatDType>, args: QuantizationArgs, where: string): Range {
  const tiling = tilingOf(args, weight.shape, where);
  const [min, max] = [
    filled(tiling.scaleShape, Number.POSITIVE_INFINITY),
    filled(tiling.scaleShape, Number.NEGATIVE_INFINITY),
  ];
  tileExtremes(weight, tilesOf(tiling, weight.shape), min.data, max.data);
  if (findNonFinite(min.data) >= 0 || findNonFinite(max.data) >= 0) finiteWeight(weight, where);
  return { min, max };
}

/** The range of what is seen last. */
export const memorylessMinmax: Observer = {
  name: "memoryless_minmax",
  observe: minmaxRange,
  combine: combineLast,
};

/** The range of all that is seen. */
export const staticMinmax: Observer = {
  name: "static_minmax",
  forWeights: memorylessMinmax.name,
  observe: minmaxRange,
  combine: combineExtremes,
};

/** A moving average of ranges. */
export const minmax: Observer = {
  name: "minmax",
  forWeights: memorylessMinmax.name,
  observe: minmaxRange,
  combine: combineAveraging,
};

function filled(shape: readonly number[], value: number): Tensor<"F32"> {
  return new Tensor("F32", shape, new Float32Array(elementCount(shape)).fill(value));
}
