import { CompressionError } from "../errors.ts";
import type { KernelPool } from "../kernels/pool.ts";
import type { CompressionStage, ModuleReport, ParameterChanges, Replay } from "../modifiers/modifier.ts";
import type { Statistic, Tap } from "../modifiers/tap.ts";
import type { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import { dequantizeWeight, type QuantizedWeight } from "../schemes/quantize.ts";
import { fromFloat32, toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { RunControl } from "./events.ts";
import { expectEqual } from "./self-check.ts";
import type { SubgraphRuns } from "./subgraph-runs.ts";
import type { Weights } from "./weights.ts";

/** What became of the modules of one subgraph: what is to be saved in place of their parameters. */
export interface CompressedModules {
  readonly quantized: ReadonlyMap<Linear, QuantizedWeight>;
  readonly parameters: ParameterChanges;
}

/** What the taps of all modifiers have seen and no modifier has taken yet. */
export class Statistics {
  readonly #seen = new Map<Tap, Statistic>();

  /** Keeps what taps have seen in one subgraph; what a tap saw in an earlier one is added to it. */
  add(statistics: Iterable<readonly [Tap, Statistic]>): void {
    for (const [tap, seen] of statistics) {
      const before = this.#seen.get(tap);
      if (before) this.#seen.set(tap, merge(tap, before, seen));
      else this.#seen.set(tap, seen);
    }
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
  const value = new Tensor("F32", before.value.shape, before.value.data.slice());
  tap.reduce.merge(value, seen.value);
  return { value, sequences: before.sequences + seen.sequences };
}

/** What a stage works with. */
export interface StageContext {
  readonly weights: Weights;
  readonly statistics: Statistics;
  readonly kernels: KernelPool;
  /** The dtype that a parameter is saved in. */
  readonly savedDType: (parameter: Parameter) => FloatDType;
  readonly control: RunControl;
}

/** One subgraph while its modules are compressed, by one modifier after another. */
export class Stage implements CompressionStage, CompressedModules {
  readonly quantized = new Map<Linear, QuantizedWeight>();
  readonly parameters = new Map<Parameter, Tensor<"F32">>();

  constructor(
    readonly modules: readonly (readonly [string, Module])[],
    private readonly context: StageContext,
    private readonly subgraphRuns?: SubgraphRuns,
  ) {}

  get kernels(): KernelPool {
    return this.context.kernels;
  }

  statistic(tap: Tap): Statistic | undefined {
    return this.context.statistics.take(tap);
  }

  async weight({ weight }: Linear): Promise<Tensor<FloatDType>> {
    return fromFloat32(await this.parameter(weight), this.context.savedDType(weight));
  }

  parameter(parameter: Parameter): Promise<Tensor<"F32">> {
    return this.context.weights.load(parameter);
  }

  setWeight({ weight }: Linear, value: Tensor<"F32">): void {
    this.#set(weight, value);
  }

  async setEquivalent(where: string, changes: ParameterChanges): Promise<void> {
    const before = await this.#runs.sample();
    for (const [parameter, value] of changes) this.context.weights.replace(parameter, value);
    const after = await this.#runs.sample();
    expectEqual(after, before, (name, difference, limit) => {
      const found = `with other parameters that should change nothing, ${name} differs by ${difference}`;
      return new CompressionError(`${where}: ${found}, expected at most ${limit}. Leave this mapping out.`);
    });
    for (const [parameter, value] of changes)
      this.#set(parameter, toFloat32(fromFloat32(value, this.context.savedDType(parameter))));
  }

  replay(module: Module): Promise<Replay> {
    return this.#runs.replay(module);
  }

  setQuantized(module: Linear, quantized: QuantizedWeight, { propagate } = { propagate: true }): void {
    this.quantized.set(module, quantized);
    if (propagate) this.context.weights.replace(module.weight, dequantizeWeight(quantized));
  }

  get #runs(): SubgraphRuns {
    if (this.subgraphRuns) return this.subgraphRuns;
    throw new CompressionError("no calibration data, expected some. Let the modifier say that it requires them.");
  }

  #set(parameter: Parameter, value: Tensor<"F32">): void {
    this.context.weights.replace(parameter, value);
    this.parameters.set(parameter, value);
  }

  report(report: ModuleReport): void {
    this.context.control.onProgress?.({ type: "module", ...report });
  }

  warn(message: string): void {
    this.context.control.onProgress?.({ type: "warning", message });
  }
}
