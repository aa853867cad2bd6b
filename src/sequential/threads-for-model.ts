import { availableParallelism } from "node:os";
import { Router, SparseMoeBlock } from "../nn/experts.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { threadsWithEqualSums } from "../runtime/equal-sums.ts";
import type { Batch } from "./intermediates.ts";
import { tokensIn } from "./pack-batches.ts";

/**
 * Threads, at most `threads`, with which every linear of a model gives the same values on these batches as with one: fewer
 * only where runs are so short that a linear has more outputs than a run has tokens. An expert may be given a single token.
 */
export function threadsForModel(model: Module, batches: readonly Batch[], threads = availableParallelism()): number {
  const tokens = Math.min(...batches.map(tokensIn));
  const modules = model.namedModules().map(([, module]) => module);
  const routed = new Set(modules.flatMap(routedModules));
  const limits = modules.flatMap((module) => {
    const outputs = outputsOf(module);
    return outputs === undefined ? [] : [threadsWithEqualSums(routed.has(module) ? 1 : tokens, outputs, threads)];
  });
  return Math.min(threads, ...limits);
}

/** What is run on the tokens that are routed to it alone. */
function routedModules(module: Module): Module[] {
  if (!(module instanceof SparseMoeBlock) || module.calibrateAllExperts) return [];
  return module.experts.flatMap((expert) => expert.namedModules().map(([, inner]) => inner));
}

/** Columns of the product that a module is. */
function outputsOf(module: Module): number | undefined {
  if (module instanceof Linear) return module.outFeatures;
  return module instanceof Router ? module.config.experts : undefined;
}
