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
  /** Its dotted path. */
  readonly module: string;
  /** Squared error of the module's output over the calibration data, per sequence, where the method knows it. */
  readonly error?: number;
  /** That error without the damping that the method adds, relative to the energy of the output itself: 10 log₁₀ of the ratio, in dB. */
  readonly errorInDecibels?: number;
  /** What was done instead, where the method could not do what was asked for. */
  readonly fallback?: string;
  /** Seconds that it took; of modules that were worked on together, the same share each. */
  readonly seconds: number;
}

/** New values of parameters under which the whole model computes the same. */
export interface EquivalentChange {
  /** What is changed, for errors. */
  readonly name: string;
  /** What each parameter becomes, computed when it is read. */
  readonly parameters: ReadonlyMap<Parameter, Rewrite>;
}

/** Values that stand for those of some parameters. */
export type ParameterChanges = ReadonlyMap<Parameter, Tensor<"F32">>;

/** A linear, or any other module with a weight. */
export type HasWeight = Module & { readonly weight: Parameter };

/** A module with what it is given in every calibration batch, to be run again. */
export interface Replay {
  /** Number of batches. */
  readonly batches: number;
  /** Σ squared difference, in one batch, of the module's output with `changes` from what it was when it was recorded. */
  error(changes: ParameterChanges, batch: number): Promise<number>;
  /** Forgets what is kept. */
  close(): Promise<void>;
}

/** The modules of one subgraph, after calibration: what a modifier works on. */
export interface CompressionStage {
  /** Modules whose last call is in this subgraph, by dotted path. */
  readonly modules: readonly (readonly [path: string, module: Module])[];
  /** Loops and matrix products on several threads: the column loop, Cholesky, quadratic forms. */
  readonly kernels: KernelPool;
  /** What a tap of this modifier has seen, good until the stage ends; undefined if its module was never run. */
  statistic(tap: Tap): Statistic | undefined;
  /** The weight in the dtype that the output is saved in, as the modifiers before left it, good until another takes its place. */
  weight(module: Linear): Promise<Tensor<FloatDType>>;
  /** The same values in F32: the parameter itself, and not a copy, where they are. Not to be changed. */
  savedWeight(module: Linear): Promise<Tensor<"F32">>;
  /** Replaces a weight: later subgraphs see its effect, and it is saved. */
  setWeight(module: HasWeight, weight: Tensor<"F32">): void;
  /** Any parameter of the modules, as the modifiers before left it. */
  parameter(parameter: Parameter): Promise<Tensor<"F32">>;
  /**
   * Replaces parameters by others with which the subgraph computes the same, which is checked on one sample; they are saved.
   * For modifiers that have `coupled` modules.
   *
   * @throws CompressionError that begins with `where` if the subgraph then gives something else
   */
  setEquivalent(where: string, changes: ParameterChanges): Promise<void>;
  /** Runs the subgraph up to a module, on all batches, and keeps what the module is given, within the budget of memory. */
  replay(module: Module): Promise<Replay>;
  /** Replaces a weight by one whose zeros stay: no modifier after this one may change them. */
  setPruned(module: Linear, weight: Tensor<"F32">): void;
  /** 1 for each weight that is zero and is to stay so, row-major; undefined where no modifier has pruned the module. */
  pruned(module: Linear): Uint8Array | undefined;
  /** Stores codes for a weight; what they decode to takes its place. With `propagate` false, later subgraphs do not see it. */
  setQuantized(module: Linear, quantized: QuantizedWeight, options?: { readonly propagate: boolean }): void;
  /** Stores tensors beside a module's weight, by name below the module: the scales of its activations, such as `input_scale`. */
  setTensors(module: Module, tensors: ReadonlyMap<string, Tensor>): void;
  /** Tells what became of a module: progress events have it, and `finalize` gets it. */
  report(report: ModuleReport): void;
  /** Tells the user what is not as it should be, and what to do. */
  warn(message: string): void;
}

/**
 * One step of a recipe. It is initialised with the model, asks for taps on modules, compresses each subgraph's modules once
 * the taps have seen every batch, and is finalised at the end.
 */
export interface Modifier {
  /** Class name, as recipes spell it. */
  readonly name: string;
  /** Where a recipe asks for it, for errors. */
  where?: string;
  /** What the recipe said, for the recipe that is written beside the output. */
  readonly options: object;
  /** Whether it needs calibration data at all. */
  readonly requiresCalibrationData: boolean;
  /** Patterns of the modules that a partition must not cut, where the modifier wants its own. */
  readonly sequentialTargets?: readonly string[];
  /** What is quantized and how, known after initialize: the output is planned from it. */
  readonly quantization?: ModelQuantization;
  /** Modules that are changed together and must lie in one subgraph, known after initialize. */
  readonly coupled?: readonly CoupledModules[];
  /** Paths of modules that it runs by themselves, known after initialize: a partition must not cut through them. */
  readonly units?: readonly string[];
  /**
   * Whether nothing that `compress` does shows in what any subgraph gives. A subgraph that only such modifiers work on is run
   * once, for what they observe and for the subgraphs after it.
   */
  readonly leavesOutputs?: boolean;
  /** Whether `rewrite` lets linears rotate what they read or give at run time, which not every format can. */
  readonly transformsAtRunTime?: boolean;
  /** Modules that it changes beside those with a scheme, known after initialize: every one must be run. */
  readonly targets?: Iterable<Linear>;
  /**
   * Looks at the whole model before the first module is compressed, for what no subgraph knows by itself; its `compress`
   * changes nothing. It costs one more run of the model.
   */
  readonly survey?: Modifier;
  /**
   * Makes a model of fewer modules, which the modifiers after it work on and which is written; called after `initialize`. What
   * its parameters read may depend on what `compress` finds: before any is read, the modifier goes through the whole of its
   * own model, alone. It comes before all that do not.
   *
   * @param create - the model of a changed config.json
   */
  shrink?(create: (change: ConfigChange) => Module): void;
  /** Resolves targets and checks everything that can be checked before any data is read. */
  initialize(model: Module, context: ModifierContext): void;
  /** Checks and settles what depends on the modifiers after it: called once all are initialised, before anything is read. */
  settle?(model: Module): void;
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

/** A config.json from another. */
export type ConfigChange = (config: Readonly<Record<string, unknown>>) => Readonly<Record<string, unknown>>;

/** Modules that a modifier changes together, so that they must lie in one subgraph. */
export interface CoupledModules {
  /** What couples them, in words. */
  readonly name: string;
  readonly modules: readonly Module[];
}

/** What initialize and finalize may say and know. */
export interface ModifierContext {
  warn(message: string): void;
  /** The modifiers that come after it in the recipe, not initialised yet. */
  readonly later?: readonly Modifier[];
}

/** What finalize works with. */
export interface FinalizeContext extends ModifierContext {
  /** All that the modifier has reported, in order, in this run and those that it goes on with. */
  readonly reports: readonly ModuleReport[];
}
