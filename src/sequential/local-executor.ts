import type { Replay } from "../modifiers/modifier.ts";
import type { Tap } from "../modifiers/tap.ts";
import type { Module } from "../nn/module.ts";
import type { Allocate, Value } from "../runtime/executable.ts";
import { CompiledGraph } from "./compiled-graph.ts";
import type { DispatchedModel } from "./dispatch.ts";
import type { CalibrationExecutor, Observed, OnBatch } from "./executor.ts";
import { type Batch, IntermediatesCache, type IntermediatesOptions } from "./intermediates.ts";
import { recordCalls } from "./replay.ts";
import type { Subgraph } from "./subgraph.ts";
import { TapRecorder } from "./tap-recorder.ts";

/** How much memory a {@link LocalExecutor} may take, and who stops it between two batches. */
export interface LocalExecutorOptions extends IntermediatesOptions {
  /** Stops it between two batches. */
  readonly signal?: AbortSignal;
}

/** Runs subgraphs in this process, one batch after another. */
export class LocalExecutor implements CalibrationExecutor {
  #cache: IntermediatesCache;

  /** @throws DataError naming a batch that has other keys than the first */
  constructor(
    private readonly subgraphs: readonly Subgraph[],
    private readonly dispatched: DispatchedModel,
    private readonly batches: readonly Batch[],
    private readonly options: LocalExecutorOptions = {},
  ) {
    this.#cache = new IntermediatesCache(batches, options);
  }

  async restart(): Promise<void> {
    await this.#cache.close();
    this.#cache = new IntermediatesCache(this.batches, this.options);
  }

  async *calibrate(
    index: number,
    taps: readonly Tap[],
    onBatch: OnBatch,
    consumed?: ReadonlySet<string>,
  ): AsyncGenerator<Observed> {
    const subgraph = this.subgraphs[index];
    const recorder = new TapRecorder(taps, this.dispatched.weights.buffers);
    const hooks = recorder.attach();
    const compiling = CompiledGraph.compile(subgraph, this.dispatched, (outputs) => ({
      ...(consumed && outputs),
      ...recorder.outputs,
    }));
    hooks.remove(); // it is traced by now: others may trace while it is compiled
    const compiled = await compiling;
    await this.#forEachBatch(onBatch, async (batch) => {
      const inputs = { ...(await this.#cache.fetch(batch, subgraph.inputNames)), ...recorder.inputs };
      const allocate: Allocate = (name, dtype, shape) =>
        subgraph.outputNames.has(name) ? this.#cache.allocate(dtype, shape) : recorder.allocate(name);
      const found = await compiled.run(inputs, this.dispatched, allocate);
      recorder.add(found, sequencesIn(this.batches[batch]));
      if (consumed) await this.#pass(batch, consumed, subgraph, found);
    });
    yield* recorder.observed();
  }

  async propagate(index: number, consumed: ReadonlySet<string>, onBatch: OnBatch): Promise<void> {
    const subgraph = this.subgraphs[index];
    await this.#forEachBatch(onBatch, async (batch) => {
      const inputs = await this.#cache.fetch(batch, subgraph.inputNames);
      const allocate: Allocate = (_, dtype, shape) => this.#cache.allocate(dtype, shape);
      await this.#pass(batch, consumed, subgraph, await subgraph.forward(this.dispatched, inputs, allocate));
    });
  }

  /** Keeps what a subgraph gave of a batch, in place of what nobody reads any more. */
  async #pass(
    batch: number,
    consumed: ReadonlySet<string>,
    { outputNames }: Subgraph,
    found: Readonly<Record<string, Value>>,
  ): Promise<void> {
    this.#cache.delete(batch, consumed);
    await this.#cache.update(batch, Object.fromEntries([...outputNames].map((name) => [name, found[name]])));
  }

  record(index: number, module: Module): Promise<Replay> {
    const { signal, memoryBudget = Number.POSITIVE_INFINITY } = this.options;
    const options = { memoryBudget: memoryBudget - this.#cache.bytesInMemory, signal };
    return recordCalls(this.subgraphs[index], module, this.dispatched, this.#cache, options);
  }

  async forget(names?: ReadonlySet<string>): Promise<void> {
    if (names) for (const batch of this.batches.keys()) this.#cache.delete(batch, names);
    else this.#cache.clear();
  }

  async endSubgraph(): Promise<void> {
    this.#cache.age();
  }

  close(): Promise<void> {
    return this.#cache.close();
  }

  async #forEachBatch(onBatch: OnBatch, run: (batch: number) => Promise<void>): Promise<void> {
    for (const batch of this.batches.keys()) {
      this.options.signal?.throwIfAborted();
      await run(batch);
      onBatch();
    }
  }
}

/** Rows of a batch. */
function sequencesIn(batch: Batch): number {
  return Object.values(batch)[0].shape[0];
}
