import { RecipeError } from "../errors.ts";
import { matchModules, unmatchedPatterns } from "../nn/match.ts";
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
    locateErrors(modifier, () => {
      modifier.initialize(model, { ...context, later: modifiers.slice(index + 1) });
      if (modifier.sequentialTargets) matchModules(model, modifier.sequentialTargets);
      for (const warning of unmatchedIgnores(modifier, model)) context.warn(warning);
    });
  }
  for (const modifier of modifiers) locateErrors(modifier, () => modifier.settle?.(model));
}

/** Says of what is wrong with a modifier where the recipe has it. */
function locateErrors({ where }: Modifier, check: () => void): void {
  try {
    check();
  } catch (cause) {
    if (!(cause instanceof RecipeError) || where === undefined) throw cause;
    throw new RecipeError(`${where}: ${cause.message}`, { cause });
  }
}

/** Warnings of what a modifier is to ignore and the model does not have: as in the reference no error, but often misspelt. */
function unmatchedIgnores({ name, options, where = "recipe" }: Modifier, model: Module): string[] {
  const { ignore = [] } = options as { readonly ignore?: readonly string[] };
  return unmatchedPatterns(model, ignore).map(
    ({ pattern, nearest }) =>
      `${where}: ${name}: ignore "${pattern}" matches no module, so nothing is left out for it. Nearest: ${nearest.join(", ")}.`,
  );
}

/** What all modifiers together quantize: of a module that several have a scheme for, the last one's. */
export function mergeQuantization(modifiers: readonly Modifier[]): ModelQuantization {
  const all = modifiers.flatMap(({ quantization }) => quantization ?? []);
  return {
    schemes: new Map(all.flatMap(({ schemes }) => [...schemes])),
    kvCacheScheme: all.findLast(({ kvCacheScheme }) => kvCacheScheme)?.kvCacheScheme ?? null,
  };
}
