import type { CausalLM } from "../models/causal-lm.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import type { Batch } from "./intermediates.ts";
import type { Subgraph } from "./subgraph.ts";
import { getSequentialTargets, type TargetArguments } from "./targets.ts";
import { traceSubgraphs } from "./trace-subgraphs.ts";

/** How a run cuts its model into subgraphs. */
export interface SubgraphOptions extends TargetArguments {
  /** Sequential targets that are compressed together. 1. */
  readonly sequentialTargetsPerSubgraph?: number;
  /** Names of functions that the trace does not enter. */
  readonly tracingIgnore?: readonly string[];
}

/** The subgraphs that a run with these options goes through. */
export function traceForRun(
  model: CausalLM,
  modifiers: readonly Modifier[],
  sample: Batch,
  options: SubgraphOptions,
): Subgraph[] {
  const { onePass } = options;
  const units = onePass ? modifiers.flatMap(({ units = [] }) => units) : [];
  const targets = [...getSequentialTargets(modifiers, model, options), ...units];
  return traceSubgraphs(model, sample, targets, options.tracingIgnore, {
    targetsPerSubgraph: options.sequentialTargetsPerSubgraph,
    shareInputs: onePass,
    together: modifiers.flatMap(({ coupled = [] }) => coupled.map(({ modules }) => modules)),
  });
}
