import { CompressionError } from "../errors.ts";
import type { CompressedModules } from "../formats/compressed-modules.ts";
import { narrow } from "../formats/narrow.ts";
import type { KernelPool } from "../kernels/pool.ts";
import type { CompressionStage, Modifier, ModuleReport } from "../modifiers/modifier.ts";
import type { Statistic, Tap } from "../modifiers/tap.ts";
import type { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { dequantizeWeight, type QuantizedWeight } from "../schemes/quantize.ts";
import { fromFloat32, toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { RunControl } from "./events.ts";
import type { Weights } from "./weights.ts";

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
  readonly unsaved = new Map<Linear, Tensor<"F32"> | undefined>();
  readonly reports: ModuleReport[][] = [];
  readonly warnings: string[] = [];
  pending: ReadonlyMap<string, Statistic> = new Map();
  /** What was put in place of weights, for the subgraphs to come. */
  readonly #propagated = new Map<Linear, Tensor<"F32">>();
  readonly tensors = new Map<Module, ReadonlyMap<string, Tensor>>();
  readonly #pruned = new Map<Linear, Uint8Array>();

  constructor(
    readonly index: number,
    readonly modules: readonly (readonly [string, Module])[],
    private readonly context: StageContext,
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
    return this.context.statistics.take(tap);
  }

  async weight(module: Linear): Promise<Tensor<FloatDType>> {
    return fromFloat32(await this.context.weights.load(module.weight), this.context.savedDType(module));
  }

  setPruned(module: Linear, weight: Tensor<"F32">): void {
    this.setWeight(module, weight);
    this.#pruned.set(
      module,
      Uint8Array.from(weight.data, (value) => Number(value === 0)),
    );
  }

  pruned(module: Linear): Uint8Array | undefined {
    return this.#pruned.get(module);
  }

  setWeight(module: Linear, weight: Tensor<"F32">): void {
    const [path = "weight"] = this.modules.find(([, member]) => member === module) ?? [];
    const saved = toFloat32(narrow(path, weight, this.context.savedDType(module)));
    this.weights.set(module, saved);
    this.#propagate(module, saved);
    if (this.quantized.has(module)) this.unsaved.set(module, saved);
  }

  setQuantized(module: Linear, quantized: QuantizedWeight, { propagate } = { propagate: true }): void {
    this.quantized.set(module, quantized);
    if (propagate) {
      this.#propagate(module, dequantizeWeight(quantized));
      this.unsaved.delete(module);
    } else this.unsaved.set(module, this.#propagated.get(module));
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

  #propagate(module: Linear, weight: Tensor<"F32">): void {
    this.#checkZeros(module, weight);
    this.context.weights.replace(module.weight, weight);
    this.#propagated.set(module, weight);
  }

  /** @throws CompressionError if a weight that was pruned is not zero any more */
  #checkZeros(module: Linear, { data }: Tensor<"F32">): void {
    const filled = this.#pruned.get(module)?.findIndex((mark, at) => mark === 1 && data[at] !== 0) ?? -1;
    if (filled < 0) return;
    const [path] = this.modules.find(([, other]) => other === module) ?? [];
    throw new CompressionError(
      `${path}.weight: ${data[filled]} at index ${filled}, which was pruned, expected it to stay zero. Prune last.`,
    );
  }
}
