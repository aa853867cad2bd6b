import type { KernelPool } from "../kernels/pool.ts";
import type { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter, Rewrite } from "../nn/parameter.ts";
import type { QuantizedWeight } from "../schemes/quantize.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Statistic, Tap } from "./tap.ts";

/** What became of one module. */
export interface ModuleReport {
  readonly module: string;
  /** Squared error of the module's output over the calibration data, per sequence, where the method knows it. */
  readonly error?: number;
  /** What was done instead, where the method could not do what was asked for. */
  readonly fallback?: string;
  readonly seconds: number;
}

/** New values of parameters under which the whole model computes the same. */
export interface EquivalentChange {
  /** What is changed, for errors. */
  readonly name: string;
  readonly parameters: ReadonlyMap<Parameter, Rewrite>;
}

/** The modules of one subgraph, after calibration: what a modifier works on. */
export interface CompressionStage {
  /** Modules whose last call is in this subgraph, by dotted path. */
  readonly modules: readonly (readonly [path: string, module: Module])[];
  readonly kernels: KernelPool;
  /** What a tap of this modifier has seen; undefined if its module was never run. */
  statistic(tap: Tap): Statistic | undefined;
  /** The weight in the dtype that the output is saved in, as the modifiers before left it. */
  weight(module: Linear): Promise<Tensor<FloatDType>>;
  /** Replaces a weight: later subgraphs see its effect, and it is saved. */
  setWeight(module: Linear, weight: Tensor<"F32">): void;
  /** Stores codes for a weight; what they decode to takes its place. With `propagate` false, later subgraphs do not see it. */
  setQuantized(module: Linear, quantized: QuantizedWeight, options?: { readonly propagate: boolean }): void;
  /** Stores tensors beside a module's weight, by name below the module: the scales of its activations, such as `input_scale`. */
  setTensors(module: Module, tensors: ReadonlyMap<string, Tensor>): void;
  report(report: ModuleReport): void;
  warn(message: string): void;
}

/**
 * One step of a recipe. It is initialised with the model, asks for taps on modules, compresses each subgraph's modules once
 * the taps have seen every batch, and is finalised at the end.
 */
export interface Modifier {
  /** Class name, as recipes spell it. */
  readonly name: string;
  /** What the recipe said, for the recipe that is written beside the output. */
  readonly options: object;
  /** Whether it needs calibration data at all. */
  readonly requiresCalibrationData: boolean;
  /** Patterns of the modules that a partition must not cut, where the modifier wants its own. */
  readonly sequentialTargets?: readonly string[];
  /** What is quantized and how, known after initialize: the output is planned from it. */
  readonly quantization?: ModelQuantization;
  /** Resolves targets and checks everything that can be checked before any data is read. */
  initialize(model: Module, context: ModifierContext): void;
  /**
   * Changes parameters all over the model before anything is observed or compressed, and may attach modules. After each change
   * the model is run on one sample: it must give what it gave before. Nothing is computed until a parameter is read.
   */
  rewrite?(model: Module): Iterable<EquivalentChange>;
  /** What to observe of a module. Called once for every module below a subgraph. */
  taps?(module: Module): readonly Tap[];
  /** Compresses the modules of one subgraph. */
  compress(stage: CompressionStage): Promise<void>;
  /**
   * Called once all subgraphs are done. A run may be stopped and gone on with: what a modifier must know of earlier subgraphs
   * by then is in its reports, not in fields of its own.
   */
  finalize?(context: FinalizeContext): void;
}

/** What initialize and finalize may say. */
export interface ModifierContext {
  warn(message: string): void;
}

/** What finalize works with. */
export interface FinalizeContext extends ModifierContext {
  /** All that the modifier has reported, in order, in this run and those that it goes on with. */
  readonly reports: readonly ModuleReport[];
}
