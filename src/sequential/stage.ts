import { CompressionError } from "../errors.ts";
import type { CompressedModules } from "../formats/compressed-modules.ts";
import { narrow } from "../formats/narrow.ts";
import type { KernelPool } from "../kernels/pool.ts";
import type {
  CompressionStage,
  HasWeight,
  Modifier,
  ModuleReport,
  ParameterChanges,
  Replay,
} from "../modifiers/modifier.ts";
import { mergeStatistics, type Statistic, type Tap } from "../modifiers/tap.ts";
import type { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import { dequantizeWeight, type QuantizedWeight } from "../schemes/quantize.ts";
import { fromFloat32, roundToDType, toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { RunControl } from "./events.ts";
import type { Observed } from "./executor.ts";
import { expectEqual } from "./self-check.ts";
import type { SubgraphRuns } from "./subgraph-runs.ts";
import type { Weights } from "./weights.ts";

/** What the taps of all modifiers have seen and no modifier has taken yet. */
export class Statistics {
  readonly #seen = new Map<Tap, Statistic>();

  /** Keeps what taps have seen in one subgraph; what a tap saw in an earlier one is added to it. */
  add({ taps, statistic }: Observed): void {
    for (const tap of taps) {
      const before = this.#seen.get(tap);
      if (before) this.#seen.set(tap, merge(tap, before, statistic));
      else this.#seen.set(tap, statistic);
    }
  }

  /** What taps have seen that nobody has taken, by the names that the taps are given. */
  select(taps: Iterable<readonly [name: string, tap: Tap]>): Map<string, Statistic> {
    const selected = new Map<string, Statistic>();
    for (const [name, tap] of taps) {
      const seen = this.#seen.get(tap);
      if (seen) selected.set(name, seen);
    }
    return selected;
  }

  /** Hands over what a tap has seen, and forgets it. */
  take(tap: Tap): Statistic | undefined {
    const seen = this.#seen.get(tap);
    this.#seen.delete(tap);
    return seen;
  }
}

/** A new total: the old ones may be shared with other taps on the same value. */
function merge(tap: Tap, before: Statistic, seen: Statistic): Statistic {
  const copy = new Tensor("F32", before.value.shape, before.value.data.slice());
  return mergeStatistics(tap.reduce, { ...before, value: copy }, seen);
}

/** What all stages of a run share. */
export interface StageOptions {
  /** Loops that compress, on several threads. */
  readonly kernels: KernelPool;
  /** The dtype that a parameter is saved in. */
  readonly savedDType: (parameter: Parameter) => FloatDType;
  /** Is told of progress and warnings, and may stop the run. */
  readonly control: RunControl;
}

/** What a stage works with. */
interface StageContext extends StageOptions {
  readonly weights: Weights;
  readonly statistics: Statistics;
}

/** One subgraph while its modules are compressed, by one modifier after another. */
export class Stage implements CompressionStage, CompressedModules {
  readonly quantized = new Map<Linear, QuantizedWeight>();
  readonly parameters = new Map<Parameter, Tensor<"F32">>();
  readonly unsaved = new Map<Parameter, Tensor<"F32"> | undefined>();
  readonly reports: ModuleReport[][] = [];
  readonly warnings: string[] = [];
  pending: ReadonlyMap<string, Statistic> = new Map();
  /** What was put in place of parameters, for the subgraphs to come. */
  readonly #propagated = new Map<Parameter, Tensor<"F32">>();
  readonly #taken = new Set<Tensor<"F32">>();
  readonly tensors = new Map<Module, ReadonlyMap<string, Tensor>>();
  readonly #pruned = new Map<Parameter, Uint8Array>();

  constructor(
    readonly index: number,
    readonly modules: readonly (readonly [string, Module])[],
    private readonly context: StageContext,
    private readonly subgraphRuns?: SubgraphRuns,
  ) {}

  get kernels(): KernelPool {
    return this.context.kernels;
  }

  /** Lets the next modifier work on the modules. */
  async apply(modifier: Modifier): Promise<void> {
    this.reports.push([]);
    await modifier.compress(this);
  }

  statistic(tap: Tap): Statistic | undefined {
    const taken = this.context.statistics.take(tap);
    if (taken) this.#taken.add(taken.value);
    return taken;
  }

  /** Statistics that modifiers were given, of which the memory is free once the stage is over. */
  get taken(): Iterable<Tensor<"F32">> {
    return this.#taken;
  }

  async weight({ weight }: Linear): Promise<Tensor<FloatDType>> {
    return fromFloat32(await this.parameter(weight), this.context.savedDType(weight));
  }

  async savedWeight({ weight }: Linear): Promise<Tensor<"F32">> {
    return roundToDType(await this.parameter(weight), this.context.savedDType(weight));
  }

  parameter(parameter: Parameter): Promise<Tensor<"F32">> {
    return this.context.weights.load(parameter);
  }

  setWeight(module: HasWeight, value: Tensor<"F32">): void {
    const { weight } = module;
    this.#set(weight, value);
    if (this.quantized.has(module as Linear)) this.unsaved.set(weight, this.#propagated.get(weight));
  }

  async setEquivalent(where: string, changes: ParameterChanges): Promise<void> {
    const before = await this.#runs.sample();
    for (const [parameter, value] of changes) this.context.weights.replace(parameter, value);
    const after = await this.#runs.sample();
    expectEqual(after, before, (name, difference, limit) => {
      const found = `with other parameters that should change nothing, ${name} differs by ${difference}`;
      return new CompressionError(`${where}: ${found}, expected at most ${limit}. Leave this mapping out.`);
    });
    for (const [parameter, value] of changes) this.#set(parameter, value);
  }

  replay(module: Module): Promise<Replay> {
    return this.#runs.replay(module);
  }

  setPruned(module: Linear, weight: Tensor<"F32">): void {
    this.setWeight(module, weight);
    this.#pruned.set(
      module.weight,
      Uint8Array.from(weight.data, (value) => Number(value === 0)),
    );
  }

  pruned(module: Linear): Uint8Array | undefined {
    return this.#pruned.get(module.weight);
  }

  setQuantized(module: Linear, quantized: QuantizedWeight, { propagate } = { propagate: true }): void {
    const { weight } = module;
    this.quantized.set(module, quantized);
    if (propagate) {
      this.context.weights.discard(weight); // what follows takes its memory
      this.#propagate(weight, dequantizeWeight(quantized, undefined, this.context.weights.buffers));
      this.unsaved.delete(weight);
    } else {
      const propagated = this.#propagated.get(weight);
      if (propagated) this.context.weights.buffers.keep(propagated);
      this.unsaved.set(weight, propagated);
    }
  }

  setTensors(module: Module, tensors: ReadonlyMap<string, Tensor>): void {
    this.tensors.set(module, tensors);
  }

  report(report: ModuleReport): void {
    this.reports.at(-1)?.push(report);
    this.context.control.onProgress?.({ type: "module", ...report });
  }

  warn(message: string): void {
    this.warnings.push(message);
    this.context.control.onProgress?.({ type: "warning", message });
  }

  get #runs(): SubgraphRuns {
    if (this.subgraphRuns) return this.subgraphRuns;
    throw new CompressionError("no calibration data, expected some. Let the modifier say that it requires them.");
  }

  /** Takes a value as it will be saved. */
  #set(parameter: Parameter, value: Tensor<"F32">): void {
    const saved = toFloat32(narrow(this.#pathOf(parameter), value, this.context.savedDType(parameter)));
    this.context.weights.buffers.keep(saved); // it is read until it is written
    this.parameters.set(parameter, saved);
    this.#propagate(parameter, saved);
  }

  #propagate(parameter: Parameter, value: Tensor<"F32">): void {
    this.#checkZeros(parameter, value);
    this.context.weights.replace(parameter, value);
    this.#propagated.set(parameter, value);
  }

  #pathOf(parameter: Parameter): string {
    for (const [path, module] of this.modules) {
      const own = module.ownParameters().find(([, other]) => other === parameter);
      if (own) return `${path}.${own[0]}`;
    }
    return "parameter";
  }

  /** @throws CompressionError if a weight that was pruned is not zero any more */
  #checkZeros(parameter: Parameter, { data }: Tensor<"F32">): void {
    const filled = this.#pruned.get(parameter)?.findIndex((mark, at) => mark === 1 && data[at] !== 0) ?? -1;
    if (filled < 0) return;
    throw new CompressionError(
      `${this.#pathOf(parameter)}: ${data[filled]} at index ${filled}, which was pruned, expected it to stay zero. Prune last.`,
    );
  }
}
