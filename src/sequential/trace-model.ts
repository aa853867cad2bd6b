import { openCheckpoint } from "../checkpoint/checkpoint.ts";
import { resolveModel } from "../checkpoint/hub.ts";
import { createModel } from "../models/registry.ts";
import { matchModules } from "../nn/match.ts";
import { getSequentialTargets, type TargetArguments } from "./targets.ts";
import { traceSubgraphs } from "./trace-subgraphs.ts";

/** Arguments of {@link traceModel}. */
export interface TraceOptions extends TargetArguments {
  /** A folder or a Hub id. */
  readonly model: string;
  /** Sequential targets in one subgraph. 1. */
  readonly targetsPerSubgraph?: number;
  /** Names of functions that the trace does not enter. */
  readonly ignore?: readonly string[];
}

/** One subgraph in a few words. */
export interface SubgraphSummary {
  /** Sequential targets that it calls. */
  readonly targets: readonly string[];
  /** All modules that it calls, in order. */
  readonly modules: readonly string[];
  /** Names of the values that it reads. */
  readonly inputs: readonly string[];
  /** Those of its inputs that no later subgraph reads: they can be forgotten. */
  readonly consumed: readonly string[];
  /** Names of the values that later subgraphs, or the caller, read. */
  readonly outputs: readonly string[];
  /** What it computes, a node a line. */
  readonly code: readonly string[];
}

/**
 * Traces a checkpoint's model without reading any weight, and tells what its subgraphs are.
 *
 * @throws RecipeError for sequential targets that match nothing
 * @example
 * for (const { targets, outputs } of await traceModel({ model: "SmolLM2-135M" })) console.log(targets, outputs);
 */
export async function traceModel({
  model: id,
  targetsPerSubgraph,
  ignore,
  ...options
}: TraceOptions): Promise<SubgraphSummary[]> {
  const checkpoint = await openCheckpoint(await resolveModel(id));
  await checkpoint.close();
  const model = createModel(checkpoint.config, { where: checkpoint.pathOf("config.json") });
  const patterns = getSequentialTargets([], model, options);
  const targets = matchModules(model, patterns);
  const tokens = { dtype: "I64", shape: [1, 2] } as const;
  const sample = { input_ids: tokens, attention_mask: tokens };
  const paths = new Set(model.namedModules().flatMap(([path, module]) => (targets.has(module) ? [path] : [])));
  const cuts = { targetsPerSubgraph, shareInputs: options.onePass };
  return traceSubgraphs(model, sample, patterns, ignore, cuts).map((subgraph) => ({
    targets: subgraph.calledModules.filter((path) => paths.has(path)),
    modules: subgraph.calledModules,
    inputs: [...subgraph.inputNames],
    consumed: [...subgraph.consumedNames],
    outputs: [...subgraph.outputNames],
    code: subgraph.code,
  }));
}
