import type { KernelPool } from "../kernels/pool.ts";
import type { CompressionStage, ModuleReport } from "../modifiers/modifier.ts";
import type { Statistic, Tap } from "../modifiers/tap.ts";
import type { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { dequantizeWeight, type QuantizedWeight } from "../schemes/quantize.ts";
import { fromFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { RunControl } from "./events.ts";
import type { Weights } from "./weights.ts";

/** What became of the modules of one subgraph: what is to be saved in place of their weights. */
export interface CompressedModules {
  readonly quantized: ReadonlyMap<Linear, QuantizedWeight>;
  readonly weights: ReadonlyMap<Linear, Tensor<"F32">>;
  /** Further tensors of a module, by name below it. */
  readonly tensors: ReadonlyMap<Module, ReadonlyMap<string, Tensor>>;
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
  const copy = new Tensor("F32", before.value.shape, before.value.data.slice());
  return { value: tap.reduce.merge(copy, seen.value), sequences: before.sequences + seen.sequences };
}

/** What a stage works with. */
export interface StageContext {
  readonly weights: Weights;
  readonly statistics: Statistics;
  readonly kernels: KernelPool;
  /** The dtype that a module's weight is saved in. */
  readonly savedDType: (module: Linear) => FloatDType;
  readonly control: RunControl;
}

/** One subgraph while its modules are compressed, by one modifier after another. */
export class Stage implements CompressionStage, CompressedModules {
  readonly quantized = new Map<Linear, QuantizedWeight>();
  readonly weights = new Map<Linear, Tensor<"F32">>();
  readonly tensors = new Map<Module, ReadonlyMap<string, Tensor>>();

  constructor(
    readonly modules: readonly (readonly [string, Module])[],
    private readonly context: StageContext,
  ) {}

  get kernels(): KernelPool {
    return this.context.kernels;
  }

  statistic(tap: Tap): Statistic | undefined {
    return this.context.statistics.take(tap);
  }

  async weight(module: Linear): Promise<Tensor<FloatDType>> {
    return fromFloat32(await this.context.weights.load(module.weight), this.context.savedDType(module));
  }

  setWeight(module: Linear, weight: Tensor<"F32">): void {
    this.context.weights.replace(module.weight, weight);
    this.weights.set(module, weight);
  }

  setQuantized(module: Linear, quantized: QuantizedWeight, { propagate } = { propagate: true }): void {
    this.quantized.set(module, quantized);
    if (propagate) this.context.weights.replace(module.weight, dequantizeWeight(quantized));
  }

  setTensors(module: Module, tensors: ReadonlyMap<string, Tensor>): void {
    this.tensors.set(module, tensors);
  }

  report(report: ModuleReport): void {
    this.context.control.onProgress?.({ type: "module", ...report });
  }

  warn(message: string): void {
    this.context.control.onProgress?.({ type: "warning", message });
  }
}
