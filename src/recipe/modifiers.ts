import type { z } from "zod";
import { safeParse, show } from "../checkpoint/issues.ts";
import { RecipeError } from "../errors.ts";
import { AWQModifier, type AWQOptions } from "../modifiers/awq.ts";
import { GPTQModifier } from "../modifiers/gptq.ts";
import { LogarithmicEqualizationModifier } from "../modifiers/logarithmic-equalization.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import { ConstantPruningModifier } from "../modifiers/pruning/constant.ts";
import { MagnitudePruningModifier } from "../modifiers/pruning/magnitude.ts";
import { REAPPruningModifier } from "../modifiers/pruning/reap.ts";
import { SparseGPTModifier } from "../modifiers/pruning/sparsegpt.ts";
import { WandaPruningModifier } from "../modifiers/pruning/wanda.ts";
import { QuantizationModifier } from "../modifiers/quantization.ts";
import type { QuantizationOptions } from "../modifiers/quantization-options.ts";
import { QuIPModifier } from "../modifiers/quip.ts";
import { SmoothQuantModifier } from "../modifiers/smoothquant.ts";
import { SpinQuantModifier } from "../modifiers/spinquant.ts";
import type { ObserverRegistry } from "../observers/registry.ts";
import { type ModifierEntry, type ParseOptions, parseRecipe, type RecipeDocument } from "./parse.ts";
import {
  constantPruningSchema,
  magnitudePruningSchema,
  reapSchema,
  sparseGptSchema,
  wandaSchema,
} from "./pruning-schema.ts";
import { awqSchema, gptqSchema, quantizationSchema, quipSchema, smoothQuantSchema, spinQuantSchema } from "./schema.ts";
import { readRecipeText } from "./source.ts";

/** A recipe's file or text, the name of one that layerwise brings, a parsed one, or modifiers that are made already. */
export type RecipeSource = string | RecipeDocument | Modifier | readonly Modifier[];

/** A class of modifiers that recipes can name. */
export interface ModifierType<Options = unknown> {
  /** Parses the fields of a recipe to the options. */
  readonly schema: z.ZodType<Options>;
  /** @param observers - the observers that the options may name */
  create(options: Options, observers?: ObserverRegistry): Modifier | readonly Modifier[];
}

/** Modifiers by class name; pass `{ ...modifierTypes, MyModifier }` where one of your own should be found. */
export type ModifierRegistry = Readonly<Record<string, ModifierType>>;

/** The modifiers that layerwise brings. */
export const modifierTypes: ModifierRegistry = {
  AWQModifier: defineModifier(awqSchema, createAwq),
  GPTQModifier: defineModifier(gptqSchema, (options, observers) => new GPTQModifier(options, observers)),
  LogarithmicEqualizationModifier: defineModifier(
    smoothQuantSchema,
    (options) => new LogarithmicEqualizationModifier(options),
  ),
  QuantizationModifier: defineModifier(
    quantizationSchema,
    (options, observers) => new QuantizationModifier(options, observers),
  ),
  QuIPModifier: defineModifier(quipSchema, (options) => new QuIPModifier(options)),
  SmoothQuantModifier: defineModifier(smoothQuantSchema, (options) => new SmoothQuantModifier(options)),
  SpinQuantModifier: defineModifier(spinQuantSchema, (options) => new SpinQuantModifier(options)),
  REAPPruningModifier: defineModifier(reapSchema, (options) => new REAPPruningModifier(options)),
  SparseGPTModifier: defineModifier(sparseGptSchema, (options) => new SparseGPTModifier(options)),
  WandaPruningModifier: defineModifier(wandaSchema, (options) => new WandaPruningModifier(options)),
  MagnitudePruningModifier: defineModifier(magnitudePruningSchema, (options) => new MagnitudePruningModifier(options)),
  ConstantPruningModifier: defineModifier(constantPruningSchema, (options) => new ConstantPruningModifier(options)),
};

/** A class of modifiers, whose options are what its schema gives. */
export function defineModifier<Options>(
  schema: z.ZodType<Options>,
  create: ModifierType<Options>["create"],
): ModifierType<Options> {
  return { schema, create };
}

/** What {@link createModifiers} reads a recipe with. */
export interface CreateModifiersOptions extends Omit<ParseOptions, "name"> {
  /** Modifiers that the recipe may name; those of layerwise, {@link modifierTypes}, by default. */
  readonly registry?: ModifierRegistry;
  /** Observers that the recipe may name; those of layerwise by default. */
  readonly observers?: ObserverRegistry;
}

/**
 * The modifiers of a recipe, in the order in which they run.
 *
 * @throws RecipeError naming line and column of everything that is wrong with a modifier's fields.
 * @example
 * ```ts
 * createModifiers("GPTQModifier: {scheme: W4A16, ignore: [lm_head]}");
 * ```
 */
export function createModifiers(recipe: RecipeSource, options: CreateModifiersOptions = {}): Modifier[] {
  const { registry = modifierTypes, observers, ...rest } = options;
  if (typeof recipe === "string") {
    const { text, name } = readRecipeText(recipe);
    return createModifiers(parseRecipe(text, { ...rest, name }), options);
  }
  if (!("stages" in recipe)) return [recipe].flat();
  return recipe.stages.flatMap(({ modifiers }) =>
    modifiers.flatMap((entry) => createModifier(entry, registry, observers)),
  );
}

function createModifier(entry: ModifierEntry, registry: ModifierRegistry, observers?: ObserverRegistry): Modifier[] {
  const { className, fields } = entry;
  if (!Object.hasOwn(registry, className)) {
    const known = Object.keys(registry).join(", ");
    throw new RecipeError(`${entry.locate()}: no modifier ${show(className)}, expected one of ${known}.`);
  }
  const { schema, create } = registry[className];
  const result = safeParse(schema, fields);
  if (!result.success) throw new RecipeError(result.error.issues.map((issue) => describe(issue, entry)).join("\n"));
  try {
    const created = [create(result.data, observers)].flat() as Modifier[];
    for (const modifier of created) modifier.where = entry.locate();
    return created;
  } catch (cause) {
    if (!(cause instanceof RecipeError)) throw cause;
    throw new RecipeError(`${entry.locate()}: ${cause.message}`, { cause });
  }
}

/** Older recipes give AWQ the fields of the quantization that follows it: these become a modifier of their own. */
function createAwq(
  { mappings, duoScaling, nGrid, ...quantization }: AWQOptions & QuantizationOptions,
  observers?: ObserverRegistry,
): Modifier[] {
  const awq = new AWQModifier({ mappings, duoScaling, nGrid });
  return Object.keys(quantization).length === 0 ? [awq] : [awq, new QuantizationModifier(quantization, observers)];
}

function describe({ path, message }: z.core.$ZodIssue, entry: ModifierEntry): string {
  const field = [entry.className, ...path].join(".");
  return `${entry.locate(path)}: ${field}: ${message}${message.endsWith(".") ? "" : "."}`;
}
