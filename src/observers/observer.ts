import type { QuantizationArgs } from "../schemes/arguments.ts";
import type { Range } from "../schemes/qparams.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A search for the range with the smallest rounding error: minimum and maximum, shrunk step by step. */
export interface RangeSearch {
  /** Factor of the range at which the search starts. */
  readonly expand: number;
  /** Factors of the expanded range that are tried, in order. */
  readonly factors: readonly number[];
  /** Exponent of the errors that are summed up. */
  readonly norm: number;
  /** Steps in a row that may bring nothing to any scale of the tensor before the search ends. */
  readonly patience: number;
  /** Dtype that errors are computed in; the weight's by default. */
  readonly errorDType?: FloatDType;
}

/** Chooses the range that each scale covers. */
export interface Observer {
  /** The name that goes into recipes and config.json. */
  readonly name: string;
  /** Name of the observer that a weight gets in place of this one, which remembers batches: a weight is seen once. */
  readonly forWeights?: string;
  /** Whether errors are weighted by the mean square of each column's input, which calibration data must tell. */
  readonly needsImportance?: boolean;
  /**
   * The range of each scale of a weight.
   *
   * @param where - names the module in errors
   * @param importance - mean square of the input of each column, up to a factor, where the observer needs it
   */
  observe(weight: Tensor<FloatDType>, args: QuantizationArgs, where: string, importance?: Float32Array): Range;
  /**
   * How the range of one observation of an activation is found, if it is not its minimum and maximum.
   *
   * @throws RecipeError for an argument in `observerKwargs` that does not fit
   */
  search?(args: QuantizationArgs): RangeSearch;
  /**
   * The range of an activation.
   *
   * @param observed - ranges of single sequences, in the order in which they were seen: [sequences, 2, scales], the
   *   minima before the maxima
   * @returns minima and maxima of shape [scales]
   */
  combine(observed: Tensor<"F32">, args: QuantizationArgs): Range;
}
