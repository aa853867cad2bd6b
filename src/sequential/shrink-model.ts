import { RecipeError } from "../errors.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { initializeModifiers } from "../modifiers/initialize.ts";
import type { ConfigChange, Modifier, ModifierContext } from "../modifiers/modifier.ts";

/** What modifiers that make a model smaller have made of it. */
export interface ShrunkModel {
  /** Names and shapes, no weights; the model itself where no modifier makes it smaller. */
  readonly model: CausalLM;
  /** The modifiers that work on it. */
  readonly modifiers: readonly Modifier[];
  /** Those that make it smaller, each with the model that it works on: it goes through that first, alone. */
  readonly shrinking: readonly { readonly modifier: Modifier; readonly whole: CausalLM }[];
  /** What becomes of config.json. */
  readonly changeConfig: ConfigChange;
}

/** All modifiers of the recipe, in order. */
export function allModifiers({ shrinking, modifiers }: ShrunkModel): Modifier[] {
  return [...shrinking.map(({ modifier }) => modifier), ...modifiers];
}

/**
 * Initialises the modifiers of a recipe that make a model smaller: see `shrink` of {@link Modifier}.
 *
 * @param create - the model of a changed config.json
 * @throws RecipeError for one that comes after others, and for one after it that changes weights before the run
 */
export function shrinkModel(
  original: CausalLM,
  all: readonly Modifier[],
  create: (change: ConfigChange) => CausalLM,
  context: Omit<ModifierContext, "later">,
): ShrunkModel {
  const count = all.findIndex(({ shrink }) => !shrink);
  const [first, modifiers] = count < 0 ? [all, []] : [all.slice(0, count), all.slice(count)];
  checkOrder(first, modifiers);
  let [model, changeConfig]: [CausalLM, ConfigChange] = [original, (config) => config];
  const shrinking = first.map((modifier) => {
    const [whole, before] = [model, changeConfig];
    initializeModifiers([modifier], whole, context);
    modifier.shrink?.((change) => {
      changeConfig = (config) => change(before(config));
      model = create(changeConfig);
      return model;
    });
    return { modifier, whole };
  });
  return { model, modifiers, shrinking, changeConfig };
}

function checkOrder([first]: readonly Modifier[], modifiers: readonly Modifier[]): void {
  for (const { name, where = "recipe", shrink, rewrite } of modifiers) {
    if (shrink)
      throw new RecipeError(`${where}: ${name}: after others, expected it first, as they need its model. Move it up.`);
    if (first && rewrite)
      throw new RecipeError(
        `${where}: ${name}: after ${first.name}, expected another recipe, as it changes weights before any expert is chosen. ` +
          "Run one, then the other.",
      );
  }
}
