import type { QuantizationArgs } from "../schemes/arguments.ts";
import type { Range } from "../schemes/qparams.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Chooses the range that each scale of a weight covers. */
export interface Observer {
  /** The name that goes into recipes and config.json. */
  readonly name: string;
  /** Names of observers for activations in whose place this one stands where a weight asks for them. */
  readonly standsInFor?: readonly string[];
  /** The range of each scale; `where` names the module in errors. */
  observe(weight: Tensor<FloatDType>, args: QuantizationArgs, where: string): Range;
}
