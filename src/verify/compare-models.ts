import { transformedModules } from "../nn/online-transform.ts";
import type { Batch } from "../sequential/intermediates.ts";
import type { LogitsFidelity } from "./compare-logits.ts";
import {
  type ComparisonOptions,
  compareSubgraphs,
  judgeSubgraphs,
  type SubgraphFidelity,
} from "./compare-subgraphs.ts";
import { compareWeights, judgeWeights, type ModelPair, type WeightFidelity } from "./compare-weights.ts";
import type { Problem } from "./problem.ts";

/** How near a compressed model is to the original one. */
export interface Fidelity {
  /** The file of a folder that holds one model or more; not there for a checkpoint. */
  readonly file?: string;
  readonly weights: readonly WeightFidelity[];
  readonly subgraphs: readonly SubgraphFidelity[];
  readonly logits: LogitsFidelity;
}

/** What a comparison has found; nothing but problems where the model does not run. */
export interface Finding {
  readonly problems: readonly Problem[];
  readonly notes: readonly string[];
  readonly fidelity?: Fidelity;
}

/** What two models that run have been found to have in common. */
interface Compared extends Finding {
  readonly fidelity: Fidelity;
  /** How near the logits of the model as it runs are to those that our evaluation of its weights gives. */
  readonly evaluated: LogitsFidelity;
}

/**
 * Compares two models of one architecture, weight by weight, subgraph by subgraph on some batches, and by their logits; tells
 * what is far out of line.
 */
export async function compareModels(
  pair: ModelPair,
  batches: readonly Batch[],
  options: ComparisonOptions,
): Promise<Compared> {
  const weights = await compareWeights(pair, options.control?.signal);
  const { subgraphs, logits, evaluated } = await compareSubgraphs(pair.model, pair.original, batches, options);
  const notes: string[] = [];
  const tell = (note: string) => notes.push(note);
  const { size } = transformedModules(pair.model);
  if (size > 0) tell(`weights of ${size} modules are not compared: what they read or give is rotated at run time`);
  const problems = [...judgeWeights(weights, tell), ...judgeSubgraphs(subgraphs, tell), ...logits.problems];
  const fidelity = { weights, subgraphs, logits: logits.fidelity };
  return { fidelity, problems, notes, evaluated: evaluated.fidelity };
}
