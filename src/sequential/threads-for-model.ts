import { availableParallelism } from "node:os";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { threadsWithEqualSums } from "../runtime/equal-sums.ts";
import type { Batch } from "./intermediates.ts";
import { tokensIn } from "./pack-batches.ts";

/**
 * Threads, at most `threads`, with which every linear of a model gives the same values on these batches as with one: fewer
 * only where runs are so short that a linear has more outputs than a run has tokens.
 */
export function threadsForModel(model: Module, batches: readonly Batch[], threads = availableParallelism()): number {
  const tokens = Math.min(...batches.map(tokensIn));
  const limits = model
    .namedModules()
    .flatMap(([, module]) =>
      module instanceof Linear ? [threadsWithEqualSums(tokens, module.outFeatures, threads)] : [],
    );
  return Math.min(threads, ...limits);
}
