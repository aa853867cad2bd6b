import type { CausalLM } from "../models/causal-lm.ts";
import type { Batch } from "../sequential/intermediates.ts";
import type { LogitsFidelity } from "./compare-logits.ts";
import {
  type ComparisonOptions,
  compareSubgraphs,
  judgeSubgraphs,
  type SubgraphFidelity,
} from "./compare-subgraphs.ts";
import { compareWeights, judgeWeights, type WeightFidelity } from "./compare-weights.ts";
import type { Problem } from "./problem.ts";

/** How near a compressed model is to the original one. */
export interface Fidelity {
  /** The file of a folder that holds one model or more; not there for a checkpoint. */
  readonly file?: string;
  readonly weights: readonly WeightFidelity[];
  readonly subgraphs: readonly SubgraphFidelity[];
  readonly logits: LogitsFidelity;
}

/** A model that was written, and what it was written from. */
export interface ModelPair {
  readonly model: CausalLM;
  /** How its weights are quantized, by path of the module. */
  readonly kinds: ReadonlyMap<string, string>;
  readonly original: CausalLM;
}

/** What a comparison has found; nothing but problems where the model does not run. */
export interface Finding {
  readonly problems: readonly Problem[];
  readonly notes: readonly string[];
  readonly fidelity?: Fidelity;
}

/** What two models that run have been found to have in common. */
export interface Compared extends Finding {
  readonly fidelity: Fidelity;
  /** How near the logits of the model as it runs are to those that our evaluation of its weights gives. */
  readonly evaluated: LogitsFidelity;
}

/**
 * Compares two models of one architecture, weight by weight, subgraph by subgraph on some batches, and by their logits; tells
 * what is far out of line.
 */
export async function compareModels(
  { model, kinds, original }: ModelPair,
  batches: readonly Batch[],
  options: ComparisonOptions,
): Promise<Compared> {
  const [weights, notes]: [WeightFidelity[], string[]] = [[], []];
  for await (const weight of compareWeights(model, kinds, original)) {
    options.control?.signal?.throwIfAborted();
    weights.push(weight);
  }
  const { subgraphs, logits, evaluated } = await compareSubgraphs(model, original, batches, options);
  const tell = (note: string) => notes.push(note);
  const problems = [...judgeWeights(weights, tell), ...judgeSubgraphs(subgraphs, tell), ...logits.problems];
  const fidelity = { weights, subgraphs, logits: logits.fidelity };
  return { fidelity, problems, notes, evaluated: evaluated.fidelity };
}
