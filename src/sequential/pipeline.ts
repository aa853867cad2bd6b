import type { Modifier } from "../modifiers/modifier.ts";
import type { Tap } from "../modifiers/tap.ts";
import type { Module } from "../nn/module.ts";
import { CompiledGraph } from "./compiled-graph.ts";
import { checkCoupled, checkCoverage } from "./coverage.ts";
import type { DispatchedModel } from "./dispatch.ts";
import type { Phase } from "./events.ts";
import { type Batch, IntermediatesCache } from "./intermediates.ts";
import { sampleOf } from "./self-check.ts";
import { type CompressedModules, Stage, type StageContext, Statistics } from "./stage.ts";
import type { Subgraph } from "./subgraph.ts";
import { SubgraphRuns } from "./subgraph-runs.ts";
import { TapRecorder } from "./tap-recorder.ts";

/** What {@link compressInOrder} works with. */
export interface PipelineOptions extends Omit<StageContext, "weights" | "statistics"> {
  readonly modifiers: readonly Modifier[];
  /** Whether later subgraphs see the compressed weights; true by default. */
  readonly propagateError?: boolean;
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
  for (const index of subgraphs.keys()) yield await run.compress(index);
}

/** State of a pipeline run: the intermediates, and what was seen of modules that are called again later. */
class Run {
  readonly #cache: IntermediatesCache;
  /** What flows from subgraph to subgraph for one sample, where a modifier has changes checked on it. */
  readonly #sample: IntermediatesCache;
  readonly #lastCall: ReadonlyMap<Module, number>;
  readonly #taps = new Map<Modifier, Map<Module, readonly Tap[]>>();
  readonly #statistics = new Statistics();

  constructor(
    private readonly subgraphs: readonly Subgraph[],
    private readonly dispatched: DispatchedModel,
    private readonly batches: readonly Batch[],
    private readonly options: PipelineOptions,
  ) {
    this.#cache = new IntermediatesCache(batches);
    this.#sample = new IntermediatesCache(
      options.modifiers.some(({ coupled }) => coupled) ? [sampleOf(batches[0])] : [],
    );
    const calls = subgraphs.flatMap((subgraph, index) =>
      subgraph.submodules().map(([, module]) => [module, index] as const),
    );
    this.#lastCall = new Map(calls);
    checkCoverage(dispatched.model, options.modifiers, new Set(this.#lastCall.keys()));
    checkCoupled(dispatched.model, options.modifiers, calls);
  }

  /** A module that is called in several subgraphs is compressed in the last of them. */
  async compress(index: number): Promise<CompressedModules> {
    const subgraph = this.subgraphs[index];
    const modules = subgraph.submodules().filter(([, module]) => this.#lastCall.get(module) === index);
    const { weights } = this.dispatched;
    const runs = new SubgraphRuns(subgraph, this.dispatched, this.#cache, this.#sample, this.options.control.signal);
    const stage = new Stage(modules, { ...this.options, weights, statistics: this.#statistics }, runs);
    const { propagateError = true } = this.options;
    const isRead = this.#observesAfter(index);
    if (!propagateError && isRead) await this.#propagate(index, new Set());
    for (const modifier of this.options.modifiers) {
      await this.#calibrate(index, modifier);
      this.#begin("compressing", index);
      await modifier.compress(stage);
    }
    await runs.propagateSample();
    if (!isRead) this.#cache.clear();
    else if (propagateError) await this.#propagate(index, subgraph.consumedNames);
    else for (const batch of this.batches.keys()) this.#cache.delete(batch, subgraph.consumedNames);
    weights.releaseAll();
    return stage;
  }

  /** Runs all batches for what the modifier observes, and nothing else. */
  async #calibrate(index: number, modifier: Modifier): Promise<void> {
    const subgraph = this.subgraphs[index];
    const taps = subgraph.submodules().flatMap(([, module]) => this.#tapsOf(modifier, module));
    if (taps.length === 0) return;
    const recorder = new TapRecorder(taps);
    const hooks = recorder.attach();
    const compiled = await CompiledGraph.compile(subgraph, this.dispatched, () => recorder.outputs).finally(
      hooks.remove,
    );
    await this.#forEachBatch("calibrating", index, async (batch) => {
      const inputs = { ...this.#cache.fetch(batch, subgraph.inputNames), ...recorder.inputs };
      const totals = await compiled.run(inputs, this.dispatched, recorder.targets);
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
      const outputs = await subgraph.forward(this.dispatched, this.#cache.fetch(batch, subgraph.inputNames));
      this.#cache.delete(batch, consumed);
      this.#cache.update(batch, outputs);
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

  /** Whether anything is observed after a subgraph: if not, what it returns is of no use. */
  #observesAfter(index: number): boolean {
    const later = this.subgraphs.slice(index + 1).flatMap((subgraph) => subgraph.submodules());
    return later.some(([, module]) =>
      this.options.modifiers.some((modifier) => this.#tapsOf(modifier, module).length > 0),
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
