import type { CausalLM } from "../models/causal-lm.ts";
import { matchModules } from "../nn/match.ts";
import type { Value } from "../runtime/executable.ts";
import { type DispatchedModel, type DispatchOptions, dispatchForSequential } from "../sequential/dispatch.ts";
import type { RunControl } from "../sequential/events.ts";
import { type Batch, IntermediatesCache, type IntermediatesOptions } from "../sequential/intermediates.ts";
import type { Subgraph } from "../sequential/subgraph.ts";
import { traceSubgraphs } from "../sequential/trace-subgraphs.ts";
import { Comparison } from "../tensor/comparison.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { LogitsComparison } from "./compare-logits.ts";
import { findOutliers } from "./outliers.ts";
import { type Problem, problem } from "./problem.ts";

/** How near the output of one subgraph is to that of the original model, both given what the original gives it. */
export interface SubgraphFidelity {
  /** The decoder layer, or the first of the modules where there is none. */
  readonly subgraph: string;
  /** Of the output that is furthest off: its energy over that of the differences, in dB; infinite (null in JSON) where there are none. */
  readonly signalToNoise: number;
  /** Cosine of the angle between the two outputs, as vectors. */
  readonly cosine: number;
}

/** Where two models run. */
export interface ComparisonOptions extends DispatchOptions, IntermediatesOptions {
  /** Gives the logits of `model` as what it is written for runs it, if that is not our own evaluation. */
  readonly run?: (batch: Batch) => Promise<Tensor<"F32">>;
  readonly control?: RunControl;
}

/** How near a model is to another one. */
export interface ModelComparison {
  readonly subgraphs: readonly SubgraphFidelity[];
  /** Of the model as it runs, to the other one's. */
  readonly logits: LogitsComparison;
  /** Of the model as it runs, to those that our evaluation of its weights gives. */
  readonly evaluated: LogitsComparison;
}

/**
 * Runs two models of one architecture side by side, subgraph by subgraph, with the weights of one subgraph of one of them in
 * memory. Each subgraph of `model` is run on what the original gives it, so that its figure is its own; and on what came
 * before it in `model`, so that the logits are those of the whole.
 */
export async function compareSubgraphs(
  model: CausalLM,
  original: CausalLM,
  batches: readonly Batch[],
  options: ComparisonOptions = {},
): Promise<ModelComparison> {
  const [found, expected] = [
    await ModelRun.create(model, batches, options),
    await ModelRun.create(original, batches, options),
  ];
  const subgraphs: SubgraphFidelity[] = [];
  const [logits, evaluated] = [new LogitsComparison(), new LogitsComparison()];
  const { onProgress, signal } = options.control ?? {};
  try {
    for (const index of expected.subgraphs.keys()) {
      onProgress?.({ type: "phase", phase: "verifying", subgraph: index, subgraphs: expected.subgraphs.length });
      for (const batch of batches.keys()) {
        signal?.throwIfAborted();
        await expected.keep(batch, await expected.run(index, await expected.inputs(index, batch)));
      }
      await expected.release();
      const outputs = new OutputComparison();
      for (const batch of batches.keys()) {
        signal?.throwIfAborted();
        const given = await expected.inputsAndOutputs(index, batch);
        outputs.add(await found.run(index, given), given);
        const carried = await found.run(index, await found.inputs(index, batch));
        await found.keep(batch, carried);
        if (expected.isLast(index)) {
          const own = carried.logits as Tensor<"F32">;
          const written = (await options.run?.(batches[batch])) ?? own;
          logits.add(written, given.logits as Tensor<"F32">);
          evaluated.add(written, own);
        }
        for (const run of [found, expected]) run.forget(index, batch);
      }
      await found.release();
      subgraphs.push({ subgraph: expected.nameOf(index), ...outputs.worst });
    }
  } finally {
    await Promise.all([found.close(), expected.close()]);
  }
  return { subgraphs, logits, evaluated };
}

/** A model that is run subgraph by subgraph, with what flows between these. */
class ModelRun {
  private constructor(
    private readonly dispatched: DispatchedModel<CausalLM>,
    readonly subgraphs: readonly Subgraph[],
    private readonly cache: IntermediatesCache,
  ) {}

  static async create(model: CausalLM, batches: readonly Batch[], options: ComparisonOptions): Promise<ModelRun> {
    const dispatched = await dispatchForSequential(model, { device: "cpu", ...options });
    const subgraphs = traceSubgraphs(model, batches[0], model.noSplitModules);
    return new ModelRun(dispatched, subgraphs, new IntermediatesCache(batches, options));
  }

  isLast(index: number): boolean {
    return index === this.subgraphs.length - 1;
  }

  inputs(index: number, batch: number): Promise<Record<string, Value>> {
    return this.cache.fetch(batch, this.subgraphs[index].inputNames);
  }

  inputsAndOutputs(index: number, batch: number): Promise<Record<string, Value>> {
    const { inputNames, outputNames } = this.subgraphs[index];
    return this.cache.fetch(batch, new Set([...inputNames, ...outputNames]));
  }

  /** Runs a subgraph on those of the values that it reads. */
  run(index: number, values: Readonly<Record<string, Value>>): Promise<Record<string, Value>> {
    const subgraph = this.subgraphs[index];
    const inputs = Object.fromEntries([...subgraph.inputNames].map((name) => [name, values[name]]));
    return subgraph.forward(this.dispatched, inputs);
  }

  keep(batch: number, outputs: Readonly<Record<string, Value>>): Promise<void> {
    return this.cache.update(batch, outputs);
  }

  /** Forgets what no later subgraph reads. */
  forget(index: number, batch: number): void {
    const { consumedNames, outputNames } = this.subgraphs[index];
    this.cache.delete(batch, this.isLast(index) ? [...consumedNames, ...outputNames] : consumedNames);
  }

  release(): Promise<void> {
    return this.dispatched.weights.releaseAll();
  }

  close(): Promise<void> {
    return this.cache.close();
  }

  nameOf(index: number): string {
    const { model } = this.dispatched;
    const targets = matchModules(model, model.noSplitModules);
    const paths = new Map(model.namedModules());
    const { calledModules } = this.subgraphs[index];
    return calledModules.find((path) => targets.has(paths.get(path) as CausalLM)) ?? calledModules[0];
  }
}

/** Compares what a subgraph returns, output by output. */
class OutputComparison {
  readonly #outputs = new Map<string, Comparison>();

  add(found: Readonly<Record<string, Value>>, expected: Readonly<Record<string, Value>>): void {
    for (const [name, value] of Object.entries(found)) {
      for (const [index, tensor] of ([value].flat() as Tensor[]).entries()) {
        if (!tensor.is("F32")) continue;
        const key = `${name} ${index}`;
        const comparison = this.#outputs.get(key) ?? new Comparison();
        this.#outputs.set(key, comparison);
        comparison.add(tensor.data, ([expected[name]].flat()[index] as Tensor<"F32">).data);
      }
    }
  }

  get worst(): Pick<SubgraphFidelity, "signalToNoise" | "cosine"> {
    const all = [...this.#outputs.values()].map(({ signalToNoise, cosine }) => ({ signalToNoise, cosine }));
    return all.reduce((worst, one) => (one.signalToNoise < worst.signalToNoise ? one : worst), all[0]);
  }
}

/** Between layers, what rounding does to their outputs differs by less, in dB. */
const FLOOR = 20;
/** Below this, in dB, an embedding is another one. */
const SAME_BASIS = 20;

/**
 * Tells of layers that are far out of line with the others. Where a rotation has changed the embedding, what flows between
 * layers does not compare, and nothing is said of them.
 */
export function judgeSubgraphs(subgraphs: readonly SubgraphFidelity[], onNote: (note: string) => void): Problem[] {
  const [first, ...others] = subgraphs;
  if (!(first.signalToNoise >= SAME_BASIS)) {
    onNote(`layers are not judged one by one: the output of ${first.subgraph} differs, as after a rotation`);
    return [];
  }
  const layers = others.slice(0, -1).map(({ subgraph, signalToNoise }) => ({ path: subgraph, value: signalToNoise }));
  return findOutliers(layers, FLOOR).map(({ path, value, typical }) =>
    problem(
      path,
      `its output is ${value.toFixed(1)} dB above its error`,
      `about ${typical.toFixed(1)} dB as of other layers`,
    ),
  );
}
