import type { Modifier } from "../modifiers/modifier.ts";
import type { Module } from "../nn/module.ts";
import { type CompressedModules, Stage, type StageContext, Statistics } from "./stage.ts";
import { Weights } from "./weights.ts";

/**
 * Compresses module by module without running the model, for modifiers that need no calibration data.
 *
 * @returns what is to be saved, module by module; its memory is free once the next is asked for
 */
export async function* compressWithoutData(
  model: Module,
  { modifiers, ...context }: Omit<StageContext, "weights" | "statistics"> & { readonly modifiers: readonly Modifier[] },
): AsyncGenerator<CompressedModules> {
  const weights = new Weights(model);
  const modules = model.namedModules().filter(([, module]) => module.ownParameters().length > 0);
  for (const [index, entry] of modules.entries()) {
    const { onProgress, signal } = context.control;
    signal?.throwIfAborted();
    onProgress?.({ type: "phase", phase: "compressing", subgraph: index, subgraphs: modules.length });
    const stage = new Stage([entry], { ...context, weights, statistics: new Statistics() });
    for (const modifier of modifiers) await modifier.compress(stage);
    weights.releaseAll();
    yield stage;
  }
}
