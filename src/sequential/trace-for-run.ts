import type { CausalLM } from "../models/causal-lm.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import type { Batch } from "./intermediates.ts";
import type { Subgraph } from "./subgraph.ts";
import { getSequentialTargets, type TargetArguments } from "./targets.ts";
import { traceSubgraphs } from "./trace-subgraphs.ts";

/** How a run cuts its model into subgraphs. */
export interface SubgraphOptions extends TargetArguments {
  /**
   * Cuts the model before every group of linears that read the same value, instead of by decoder layers: each group is
   * calibrated on what the compressed ones before it really give, and the model is run once instead of twice. Linears that a
   * modifier changes together with a norm or linear before them lie in one part with it; AWQ's parts are attention and
   * feed-forward. False.
   */
  readonly onePass?: boolean;
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
  const units = modifiers.flatMap(({ units = [] }) => units);
  const targets = onePass ? ["Linear", ...units] : getSequentialTargets(modifiers, model, options);
  return traceSubgraphs(model, sample, targets, options.tracingIgnore, {
    targetsPerSubgraph: options.sequentialTargetsPerSubgraph,
    shareInputs: onePass,
    together: modifiers.flatMap(({ coupled = [] }) => coupled.map(({ modules }) => modules)),
  });
}
