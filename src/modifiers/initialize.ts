import { RecipeError } from "../errors.ts";
import type { Module } from "../nn/module.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";
import type { Modifier, ModifierContext } from "./modifier.ts";

/**
 * Initialises modifiers in order; each is told which come after it.
 *
 * @throws RecipeError that begins with the place in the recipe, for a modifier that does not fit the model
 */
export function initializeModifiers(
  modifiers: readonly Modifier[],
  model: Module,
  context: Omit<ModifierContext, "later">,
): void {
  for (const [index, modifier] of modifiers.entries()) {
    try {
      modifier.initialize(model, { ...context, later: modifiers.slice(index + 1) });
    } catch (cause) {
      if (!(cause instanceof RecipeError) || modifier.where === undefined) throw cause;
      throw new RecipeError(`${modifier.where}: ${cause.message}`, { cause });
    }
  }
}

/** What all modifiers together quantize: of a module that several have a scheme for, the last one's. */
export function mergeQuantization(modifiers: readonly Modifier[]): ModelQuantization {
  const all = modifiers.flatMap(({ quantization }) => quantization ?? []);
  return {
    schemes: new Map(all.flatMap(({ schemes }) => [...schemes])),
    kvCacheScheme: all.findLast(({ kvCacheScheme }) => kvCacheScheme)?.kvCacheScheme ?? null,
  };
}
