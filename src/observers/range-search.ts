import { z } from "zod";
import { tabulatePowers } from "../kernels/tiles.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { parseWith } from "../schemes/parse.ts";
import { computeQParams, type Range } from "../schemes/qparams.ts";
import { roundingErrors } from "../schemes/quantize.ts";
import { rounder, toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import { minmaxRange } from "./minmax.ts";
import type { RangeSearch } from "./observer.ts";

/** What `observerKwargs` may say of a search; keys as in recipes. */
export interface SearchDefaults {
  /** Share of the range that is searched. */
  readonly maxshrink: number;
  /** Steps from the whole range to none. */
  readonly grid: number;
  readonly patience: number;
  readonly norm: number;
  /** Factor of the range at which the search starts. */
  readonly expand: number;
}

/** A search as `observerKwargs` ask for it. @throws RecipeError naming what does not fit */
export function parseSearch(
  { observerKwargs }: QuantizationArgs,
  defaults: SearchDefaults,
  steps: (maxshrink: number, grid: number) => number,
): Omit<RangeSearch, "errorDType"> {
  const schema = z.object({
    maxshrink: z.number().min(0).max(1).default(defaults.maxshrink),
    grid: z.number().positive().default(defaults.grid),
    patience: z.number().nonnegative().default(defaults.patience),
    norm: z.number().positive().default(defaults.norm),
    expand: z.number().min(1).default(defaults.expand),
  });
  const { maxshrink, grid, patience, norm, expand } = parseWith(schema, observerKwargs, "observer_kwargs");
  const factors = Array.from({ length: steps(maxshrink, grid) }, (_, step) => 1 - step / grid);
  return { expand, factors, norm, patience: patience === 0 ? Number.POSITIVE_INFINITY : patience };
}

/**
 * The range of each scale with the smallest sum of |Q(w) − w|^norm · importance, among the factors of its minimum and
 * maximum. Scales are not rounded to float8 here. Follows `_grid_search_mse` and `_grid_search`.
 */
export function searchRange(
  weight: Tensor<FloatDType>,
  args: QuantizationArgs,
  where: string,
  search: RangeSearch,
  importance?: Float32Array,
): Range {
  const whole = minmaxRange(weight, args, where);
  scaleRange(whole, search.expand, weight.dtype, whole);
  const [best, found] = [copyRange(whole), copyRange(whole)];
  const smallest = new Float64Array(elementCount(whole.min.shape)).fill(Number.POSITIVE_INFINITY);
  const unrounded = args.strategy === "tensor_group" ? { ...args, scaleDtype: null } : args;
  const { norm, errorDType: dtype = weight.dtype } = search;
  const units = toFloat32(computeQParams(whole, unrounded, weight.dtype).scale).data;
  const measure = { norm, powers: tabulatePowers(norm), dtype, units, importance };
  const round = rounder(dtype);
  let withoutGain = 0;
  for (const factor of search.factors) {
    scaleRange(whole, factor, weight.dtype, found);
    const qparams = computeQParams(found, unrounded, weight.dtype);
    const errors = roundingErrors(weight, qparams, unrounded, where, measure);
    withoutGain = keepBetter(errors.map(round), found, smallest, best) ? 0 : withoutGain + 1;
    if (withoutGain >= search.patience) break;
  }
  return best;
}

/** Takes over the ranges whose error is smaller than before; false if there is none. */
function keepBetter(errors: Float64Array, found: Range, smallest: Float64Array, best: Range): boolean {
  let improved = false;
  for (let i = 0; i < errors.length; i++) {
    if (!(errors[i] < smallest[i])) continue;
    smallest[i] = errors[i];
    best.min.data[i] = found.min.data[i];
    best.max.data[i] = found.max.data[i];
    improved = true;
  }
  return improved;
}

function scaleRange(whole: Range, factor: number, dtype: FloatDType, into: Range): void {
  const [by, rd] = [Math.fround(factor), rounder(dtype)];
  for (let i = 0; i < whole.min.data.length; i++) {
    into.min.data[i] = rd(whole.min.data[i] * by);
    into.max.data[i] = rd(whole.max.data[i] * by);
  }
}

function copyRange({ min, max }: Range): Range {
  return { min: new Tensor("F32", min.shape, min.data.slice()), max: new Tensor("F32", max.shape, max.data.slice()) };
}
