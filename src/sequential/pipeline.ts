import type { CompressedModules } from "../formats/compressed-modules.ts";
import type { FinishedParts } from "../formats/finished-parts.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import type { Statistic, Tap } from "../modifiers/tap.ts";
import type { Module } from "../nn/module.ts";
import { checkCoupled, checkCoverage } from "./coverage.ts";
import type { DispatchedModel } from "./dispatch.ts";
import type { Phase } from "./events.ts";
import type { CalibrationExecutor, OnBatch } from "./executor.ts";
import { type Batch, IntermediatesCache, type IntermediatesOptions } from "./intermediates.ts";
import { LocalExecutor } from "./local-executor.ts";
import { sampleOf } from "./self-check.ts";
import { Stage, type StageOptions, Statistics } from "./stage.ts";
import type { Subgraph } from "./subgraph.ts";
import { SubgraphRuns } from "./subgraph-runs.ts";

/** What {@link compressInOrder} works with. */
export interface PipelineOptions extends StageOptions, IntermediatesOptions {
  /** Those of a recipe, initialised, in its order. */
  readonly modifiers: readonly Modifier[];
  /** Whether later subgraphs see the compressed weights; true by default. */
  readonly propagateError?: boolean;
  /** What an earlier run, stopped or killed, has done of this one: none of it is calibrated or compressed again. */
  readonly finished?: FinishedParts;
  /** Runs the batches, and is closed at the end; by default it does so in this process. */
  readonly executor?: CalibrationExecutor;
}

/**
 * Calibrates and compresses one subgraph at a time, in order, with the weights of one subgraph in memory.
 *
 * For each subgraph: every modifier that observes something sees all batches, then compresses the subgraph's modules;
 * then the batches are run through the new weights, and what comes out feeds the later subgraphs. What nobody reads is
 * not computed: neither the last projection during calibration nor, at the end, the lm_head. Surveys go through all
 * subgraphs before the first is compressed.
 *
 * @returns what is to be saved, subgraph by subgraph; its memory is free once the next is asked for
 * @throws DataError naming a batch that has other keys than the first
 * @throws CompressionError naming modules with a scheme that no subgraph calls, or coupled ones that several call
 * @example
 * const kernels = await KernelPool.create(createMatrixProducts());
 * const options: PipelineOptions = { modifiers, kernels, savedDType: () => "BF16", control: {} };
 * for await (const { quantized } of compressInOrder(subgraphs, dispatched, batches, options)) console.log(quantized.size);
 */
export async function* compressInOrder(
  subgraphs: readonly Subgraph[],
  dispatched: DispatchedModel,
  batches: readonly Batch[],
  options: PipelineOptions,
): AsyncGenerator<CompressedModules> {
  const { modifiers, memoryBudget, control } = options;
  const local = () => new LocalExecutor(subgraphs, dispatched, batches, { memoryBudget, signal: control.signal });
  const { executor = local() } = options;
  const pass = (settings: PipelineOptions) => compressAll(new Run(subgraphs, dispatched, batches, settings, executor));
  try {
    const surveys = modifiers.flatMap(({ survey }) => survey ?? []);
    if (surveys.length > 0) {
      const surveyed = pass({ ...options, modifiers: surveys, finished: undefined });
      while (!(await surveyed.next()).done); // what it yields is the model as it is
      await executor.restart();
    }
    yield* pass(options);
  } finally {
    await executor.close();
  }
}

async function* compressAll(run: Run): AsyncGenerator<CompressedModules> {
  try {
    for (const index of run.subgraphs.keys()) {
      if (index < run.finishedCount) await run.goThrough(index);
      else yield await run.compress(index);
    }
  } finally {
    await run.close();
  }
}

/** State of a pipeline run: what was seen of modules that are called again later, and of the one sample. */
class Run {
  /** What flows from subgraph to subgraph for one sample, where a modifier has changes checked on it. */
  readonly #sample: IntermediatesCache;
  /** What each subgraph calls, modules below its calls included. */
  readonly #modules: readonly (readonly (readonly [path: string, module: Module])[])[];
  readonly #lastCall: ReadonlyMap<Module, number>;
  readonly #taps = new Map<Modifier, Map<Module, readonly Tap[]>>();
  readonly #statistics = new Statistics();

  constructor(
    readonly subgraphs: readonly Subgraph[],
    private readonly dispatched: DispatchedModel,
    private readonly batches: readonly Batch[],
    private readonly options: PipelineOptions,
    private readonly executor: CalibrationExecutor,
  ) {
    const checksChanges = options.modifiers.some(({ coupled }) => coupled);
    this.#sample = new IntermediatesCache(checksChanges ? [sampleOf(batches[0])] : []);
    this.#modules = subgraphs.map((subgraph) => subgraph.submodules());
    this.#lastCall = new Map(
      this.#modules.flatMap((modules, index) => modules.map(([, module]) => [module, index] as const)),
    );
    checkCoverage(dispatched.model, options.modifiers, new Set(this.#lastCall.keys()));
    checkCoupled(dispatched.model, options.modifiers, this.#modules);
  }

  /** Subgraphs that an earlier run has finished, the first ones. */
  get finishedCount(): number {
    return this.options.finished?.count ?? 0;
  }

  close(): Promise<void> {
    return this.#sample.close();
  }

  /** A module that is called in several subgraphs is compressed in the last of them. */
  async compress(index: number): Promise<CompressedModules> {
    const subgraph = this.subgraphs[index];
    const modules = this.#modulesDoneIn(index);
    const { weights } = this.dispatched;
    const runs = this.#runsOf(index);
    const stage = new Stage(index, modules, { ...this.options, weights, statistics: this.#statistics }, runs);
    const passing = this.#passing(index);
    if (passing === "before") await this.#propagate(index, new Set());
    for (const modifier of this.options.modifiers) {
      await this.#calibrate(index, modifier, passing === "meanwhile" ? subgraph.consumedNames : undefined);
      this.#begin("compressing", index);
      await stage.apply(modifier);
    }
    await runs.propagateSample();
    if (passing === "after") await this.#propagate(index, subgraph.consumedNames);
    else if (passing === "before") await this.executor.forget(subgraph.consumedNames);
    else if (passing === "never") await this.executor.forget();
    await weights.releaseAll();
    for (const value of stage.taken) weights.buffers.give(value);
    await this.executor.endSubgraph();
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
      await this.#passOnAgain(index);
      await this.dispatched.weights.releaseAll();
      await this.executor.endSubgraph();
    }
    if (index < last) return;
    const pending = await finished.pending();
    for (const [name, tap] of this.#namedTaps()) {
      const seen = pending.get(name);
      if (seen) this.#statistics.add({ taps: [tap], statistic: seen });
    }
  }

  /** When what later subgraphs read is computed: before a subgraph is compressed, while it is observed, or after both. */
  #passing(index: number): "before" | "meanwhile" | "after" | "never" {
    if (!this.#observesAfter(index)) return "never";
    const { modifiers, propagateError = true } = this.options;
    const observing = modifiers.filter((modifier) => this.#tapsIn(index, modifier).length > 0);
    if (observing.length === 1 && modifiers.every(({ leavesOutputs }) => leavesOutputs)) return "meanwhile";
    return propagateError ? "after" : "before";
  }

  /** Runs all batches for what the modifier observes; where `consumed` is given, also for what later subgraphs read. */
  async #calibrate(index: number, modifier: Modifier, consumed?: ReadonlySet<string>): Promise<void> {
    const taps = this.#tapsIn(index, modifier);
    if (taps.length === 0) return;
    for await (const observed of this.executor.calibrate(index, taps, this.#begin("calibrating", index), consumed))
      this.#statistics.add(observed);
  }

  /** Runs all batches through a subgraph that is finished, by the same graph as the run that finished it: to the same bits. */
  async #passOnAgain(index: number): Promise<void> {
    const { consumedNames } = this.subgraphs[index];
    if (this.#passing(index) !== "meanwhile") return this.#propagate(index, consumedNames);
    const taps = this.options.modifiers.flatMap((modifier) => this.#tapsIn(index, modifier));
    const onBatch = this.#begin("propagating", index);
    for await (const _ of this.executor.calibrate(index, taps, onBatch, consumedNames)); // it was seen then
  }

  /** Runs all batches through the weights as they are now, for the subgraphs to come. */
  #propagate(index: number, consumed: ReadonlySet<string>): Promise<void> {
    return this.executor.propagate(index, consumed, this.#begin("propagating", index));
  }

  /** Tells that a phase begins, and returns what tells of its batches. */
  #begin(phase: Phase, subgraph: number): OnBatch {
    const { signal, onProgress } = this.options.control;
    signal?.throwIfAborted();
    onProgress?.({ type: "phase", phase, subgraph, subgraphs: this.subgraphs.length });
    let batch = 0;
    return () => onProgress?.({ type: "batch", batch: batch++, batches: this.batches.length });
  }

  #runsOf(index: number): SubgraphRuns {
    const record = (module: Module) => this.executor.record(index, module);
    return new SubgraphRuns(this.subgraphs[index], this.dispatched, this.#sample, record);
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

  #tapsIn(index: number, modifier: Modifier): readonly Tap[] {
    return this.#modules[index].flatMap(([, module]) => this.#tapsOf(modifier, module));
  }

  #tapsOf(modifier: Modifier, module: Module): readonly Tap[] {
    const known = this.#taps.get(modifier) ?? new Map<Module, readonly Tap[]>();
    const taps = known.get(module) ?? modifier.taps?.(module) ?? [];
    this.#taps.set(modifier, known.set(module, taps));
    return taps;
  }
}
