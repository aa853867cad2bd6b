import type { CompressedModules } from "../formats/compressed-modules.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import type { Module } from "../nn/module.ts";
import { Stage, type StageOptions, Statistics } from "./stage.ts";
import { Weights } from "./weights.ts";

/**
 * Compresses module by module without running the model, for modifiers that need no calibration data.
 *
 * @param finished - modules that an earlier run has done, the first ones
 * @returns what is to be saved, module by module; its memory is free once the next is asked for
 */
export async function* compressWithoutData(
  model: Module,
  { modifiers, ...context }: StageOptions & { readonly modifiers: readonly Modifier[] },
  finished = 0,
): AsyncGenerator<CompressedModules> {
  const weights = new Weights(model);
  const modules = model.namedModules().filter(([, module]) => module.ownParameters().length > 0);
  for (const [index, entry] of modules.entries()) {
    if (index < finished) continue;
    const { onProgress, signal } = context.control;
    signal?.throwIfAborted();
    onProgress?.({ type: "phase", phase: "compressing", subgraph: index, subgraphs: modules.length });
    const stage = new Stage(index, [entry], { ...context, weights, statistics: new Statistics() });
    for (const modifier of modifiers) await stage.apply(modifier);
    await weights.releaseAll();
    yield stage;
  }
}
