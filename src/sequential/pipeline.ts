import type { CompressedModules } from "../formats/compressed-modules.ts";
import type { FinishedParts } from "../formats/finished-parts.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import type { Statistic, Tap } from "../modifiers/tap.ts";
import type { Module } from "../nn/module.ts";
import type { Allocate } from "../runtime/executable.ts";
import { CompiledGraph } from "./compiled-graph.ts";
import { checkCoupled, checkCoverage } from "./coverage.ts";
import type { DispatchedModel } from "./dispatch.ts";
import type { Phase } from "./events.ts";
import { type Batch, IntermediatesCache, type IntermediatesOptions } from "./intermediates.ts";
import { sampleOf } from "./self-check.ts";
import { Stage, type StageContext, Statistics } from "./stage.ts";
import type { Subgraph } from "./subgraph.ts";
import { SubgraphRuns } from "./subgraph-runs.ts";
import { TapRecorder } from "./tap-recorder.ts";

/** What {@link compressInOrder} works with. */
export interface PipelineOptions extends Omit<StageContext, "weights" | "statistics">, IntermediatesOptions {
  readonly modifiers: readonly Modifier[];
  /** Whether later subgraphs see the compressed weights; true by default. */
  readonly propagateError?: boolean;
  /** What an earlier run, stopped or killed, has done of this one: none of it is calibrated or compressed again. */
  readonly finished?: FinishedParts;
}

/**
 * Calibrates and compresses one subgraph at a time, in order, with the weights of one subgraph in memory.
 *
 * For each subgraph: every modifier that observes something sees all batches, then compresses the subgraph's modules;
 * then the batches are run through the new weights, and what comes out feeds the later subgraphs. What nobody reads is
 * not computed: neither the last projection during calibration nor, at the end, the lm_head.
 *
 * @returns what is to be saved, subgraph by subgraph; its memory is free once the next is asked for
 * @throws DataError naming a batch that has other keys than the first
 * @throws CompressionError naming modules with a scheme that no subgraph calls, or coupled ones that several call
 */
export async function* compressInOrder(
  subgraphs: readonly Subgraph[],
  dispatched: DispatchedModel,
  batches: readonly Batch[],
  options: PipelineOptions,
): AsyncGenerator<CompressedModules> {
  const run = new Run(subgraphs, dispatched, batches, options);
  const done = options.finished?.count ?? 0;
  try {
    for (const index of subgraphs.keys()) {
      if (index < done) await run.goThrough(index);
      else yield await run.compress(index);
    }
  } finally {
    await run.close();
  }
}

/** State of a pipeline run: the intermediates, and what was seen of modules that are called again later. */
class Run {
  readonly #cache: IntermediatesCache;
  /** What flows from subgraph to subgraph for one sample, where a modifier has changes checked on it. */
  readonly #sample: IntermediatesCache;
  /** What each subgraph calls, modules below its calls included. */
  readonly #modules: readonly (readonly (readonly [path: string, module: Module])[])[];
  readonly #lastCall: ReadonlyMap<Module, number>;
  readonly #taps = new Map<Modifier, Map<Module, readonly Tap[]>>();
  readonly #statistics = new Statistics();

  constructor(
    private readonly subgraphs: readonly Subgraph[],
    private readonly dispatched: DispatchedModel,
    private readonly batches: readonly Batch[],
    private readonly options: PipelineOptions,
  ) {
    this.#cache = new IntermediatesCache(batches, options);
    const checksChanges = options.modifiers.some(({ coupled }) => coupled);
    this.#sample = new IntermediatesCache(checksChanges ? [sampleOf(batches[0])] : []);
    this.#modules = subgraphs.map((subgraph) => subgraph.submodules());
    this.#lastCall = new Map(
      this.#modules.flatMap((modules, index) => modules.map(([, module]) => [module, index] as const)),
    );
    checkCoverage(dispatched.model, options.modifiers, new Set(this.#lastCall.keys()));
    checkCoupled(dispatched.model, options.modifiers, this.#modules);
  }

  async close(): Promise<void> {
    await Promise.all([this.#cache.close(), this.#sample.close()]);
  }

  /** A module that is called in several subgraphs is compressed in the last of them. */
  async compress(index: number): Promise<CompressedModules> {
    const subgraph = this.subgraphs[index];
    const modules = this.#modulesDoneIn(index);
    const { weights } = this.dispatched;
    const runs = this.#runsOf(index);
    const stage = new Stage(index, modules, { ...this.options, weights, statistics: this.#statistics }, runs);
    const { propagateError = true } = this.options;
    const isRead = this.#observesAfter(index);
    if (!propagateError && isRead) await this.#propagate(index, new Set());
    for (const modifier of this.options.modifiers) {
      await this.#calibrate(index, modifier);
      this.#begin("compressing", index);
      await stage.apply(modifier);
    }
    await runs.propagateSample();
    if (!isRead) this.#cache.clear();
    else if (propagateError) await this.#propagate(index, subgraph.consumedNames);
    else for (const batch of this.batches.keys()) this.#cache.delete(batch, subgraph.consumedNames);
    await weights.releaseAll();
    for (const value of stage.taken) weights.buffers.give(value);
    this.#cache.age();
    stage.pending = this.#pendingAfter(index);
    return stage;
  }

  /** A subgraph that an earlier run finished is run with the weights that it wrote, if anything after it is still to do. */
  async goThrough(index: number): Promise<void> {
    const { propagateError = true, finished } = this.options;
    if (!finished) return;
    const last = finished.count - 1;
    if (this.#observesAfter(last)) {
      for (const [, module] of propagateError ? this.#modulesDoneIn(index) : []) {
        for (const [, parameter] of module.ownParameters()) {
          const value = await finished.parameter(parameter);
          if (value) this.dispatched.weights.replace(parameter, value);
        }
      }
      await this.#runsOf(index).propagateSample();
      await this.#propagate(index, this.subgraphs[index].consumedNames);
      await this.dispatched.weights.releaseAll();
    }
    if (index < last) return;
    const pending = await finished.pending();
    for (const [name, tap] of this.#namedTaps()) {
      const seen = pending.get(name);
      if (seen) this.#statistics.add([[tap, seen]]);
    }
  }

  /** Runs all batches for what the modifier observes, and nothing else. */
  async #calibrate(index: number, modifier: Modifier): Promise<void> {
    const subgraph = this.subgraphs[index];
    const taps = this.#modules[index].flatMap(([, module]) => this.#tapsOf(modifier, module));
    if (taps.length === 0) return;
    const recorder = new TapRecorder(taps, this.dispatched.weights.buffers);
    const hooks = recorder.attach();
    const compiled = await CompiledGraph.compile(subgraph, this.dispatched, () => recorder.outputs).finally(
      hooks.remove,
    );
    await this.#forEachBatch("calibrating", index, async (batch) => {
      const inputs = { ...(await this.#cache.fetch(batch, subgraph.inputNames)), ...recorder.inputs };
      const totals = await compiled.run(inputs, this.dispatched, recorder.allocate);
      recorder.add(totals, sequencesIn(this.batches[batch]));
    });
    this.#statistics.add(recorder.statistics());
  }

  /**
   * Runs all batches through the weights as they are now, for the subgraphs to come.
   *
   * @param consumed - names that are forgotten as soon as a batch has run, before the next one needs room
   */
  async #propagate(index: number, consumed: ReadonlySet<string>): Promise<void> {
    const subgraph = this.subgraphs[index];
    await this.#forEachBatch("propagating", index, async (batch) => {
      const inputs = await this.#cache.fetch(batch, subgraph.inputNames);
      const allocate: Allocate = (_, dtype, shape) => this.#cache.allocate(dtype, shape);
      const outputs = await subgraph.forward(this.dispatched, inputs, allocate);
      this.#cache.delete(batch, consumed);
      await this.#cache.update(batch, outputs);
    });
  }

  async #forEachBatch(phase: Phase, index: number, run: (batch: number) => Promise<void>): Promise<void> {
    const { onProgress, signal } = this.options.control;
    this.#begin(phase, index);
    for (const batch of this.batches.keys()) {
      signal?.throwIfAborted();
      await run(batch);
      onProgress?.({ type: "batch", batch, batches: this.batches.length });
    }
  }

  #begin(phase: Phase, subgraph: number): void {
    const { signal, onProgress } = this.options.control;
    signal?.throwIfAborted();
    onProgress?.({ type: "phase", phase, subgraph, subgraphs: this.subgraphs.length });
  }

  #runsOf(index: number): SubgraphRuns {
    const { control, memoryBudget = Number.POSITIVE_INFINITY } = this.options;
    return new SubgraphRuns(this.subgraphs[index], this.dispatched, this.#cache, this.#sample, {
      memoryBudget: memoryBudget - this.#cache.bytesInMemory,
      signal: control.signal,
    });
  }

  #modulesDoneIn(index: number): (readonly [string, Module])[] {
    return this.#modules[index].filter(([, module]) => this.#lastCall.get(module) === index);
  }

  /** What was seen of modules that are called again after a subgraph. */
  #pendingAfter(index: number): Map<string, Statistic> {
    const taps = [...this.#namedTaps()];
    return this.#statistics.select(taps.filter(([, { module }]) => (this.#lastCall.get(module) ?? index) > index));
  }

  /** Every tap: its modifier's place in the recipe, its module's path, its own place among the module's taps. */
  *#namedTaps(): Generator<[name: string, tap: Tap]> {
    const modules = new Map(this.#modules.flat());
    for (const [place, modifier] of this.options.modifiers.entries()) {
      for (const [path, module] of modules) {
        for (const [index, tap] of this.#tapsOf(modifier, module).entries()) yield [`${place}.${index}.${path}`, tap];
      }
    }
  }

  /** Whether anything is observed after a subgraph: if not, what it returns is of no use. */
  #observesAfter(index: number): boolean {
    return this.#modules
      .slice(index + 1)
      .some((modules) =>
        modules.some(([, module]) =>
          this.options.modifiers.some((modifier) => this.#tapsOf(modifier, module).length > 0),
        ),
      );
  }

  #tapsOf(modifier: Modifier, module: Module): readonly Tap[] {
    const known = this.#taps.get(modifier) ?? new Map<Module, readonly Tap[]>();
    const taps = known.get(module) ?? modifier.taps?.(module) ?? [];
    this.#taps.set(modifier, known.set(module, taps));
    return taps;
  }
}

/** Rows of a batch. */
function sequencesIn(batch: Batch): number {
  return Object.values(batch)[0].shape[0];
}
