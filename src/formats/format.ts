import type { TensorSpec } from "../checkpoint/layout.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import type { QuantizedWeight } from "../schemes/quantize.ts";
import type { FormatName } from "../schemes/scheme.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How the weight of one module lies in a checkpoint; full names of tensors start with the module's. */
export interface Format {
  readonly name: FormatName;
  /** The tensors that a module `name` will have, known before anything is computed; `dtype` is its dense weight's. */
  tensors(name: string, shape: readonly number[], dtype: FloatDType, args: QuantizationArgs): TensorSpec[];
  /** Names of tensors that older files may hold beside those. */
  optional?(name: string): readonly string[];
  /** The tensors that replace `<name>.weight`, by full name. */
  compress(name: string, quantized: QuantizedWeight): Map<string, Tensor>;
  /** The inverse of `compress`; `tensors` may hold more than this module's. */
  restore(name: string, tensors: ReadonlyMap<string, Tensor>, args: QuantizationArgs): QuantizedWeight;
  /** The dense weight, its values rounded as the reference's readers round them. */
  decompress(name: string, tensors: ReadonlyMap<string, Tensor>, args: QuantizationArgs): Tensor<"F32">;
}
