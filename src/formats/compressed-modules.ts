import type { ModuleReport } from "../modifiers/modifier.ts";
import type { Statistic } from "../modifiers/tap.ts";
import type { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { QuantizedWeight } from "../schemes/quantize.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What became of the modules of one part of a model: what is written in place of their parameters, and what is told of it. */
export interface CompressedModules {
  /** The part's place among the parts that the model is compressed in. */
  readonly index: number;
  /** Weights that are stored as codes. */
  readonly quantized: ReadonlyMap<Linear, QuantizedWeight>;
  /** Values that the saved dtype holds. */
  readonly parameters: ReadonlyMap<Parameter, Tensor<"F32">>;
  /** Tensors beside weights, such as `input_scale`, by name below the module; floats are saved in the planned dtype. */
  readonly tensors: ReadonlyMap<Module, ReadonlyMap<string, Tensor>>;
  /** Parameters that later parts run with where these are not what is written; undefined for the checkpoint's own. */
  readonly unsaved: ReadonlyMap<Parameter, Tensor<"F32"> | undefined>;
  /** What each modifier has reported, in the order of the recipe. */
  readonly reports: readonly (readonly ModuleReport[])[];
  /** What the modifiers have warned of. */
  readonly warnings: readonly string[];
  /** What was seen so far of modules that later parts call again, by a name that is the same in every run. */
  readonly pending: ReadonlyMap<string, Statistic>;
}
