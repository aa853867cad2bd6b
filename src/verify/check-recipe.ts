import { join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { LayerwiseError } from "../errors.ts";
import { describeScheme } from "../formats/describe-scheme.ts";
import { createModel } from "../models/registry.ts";
import { initializeModifiers, mergeQuantization } from "../modifiers/initialize.ts";
import type { Module } from "../nn/module.ts";
import { createModifiers } from "../recipe/modifiers.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";
import { type Problem, problem } from "./problem.ts";
import type { StoredModel } from "./stored-model.ts";

/** The name under which a recipe lies beside what it gave. */
export const RECIPE_FILE = "recipe.yaml";

/** What a recipe asks for, in words, by the path of a module. */
export type AskedFor = ReadonlyMap<string, string>;

/** What modifiers quantize in a model, or a checkpoint says is quantized. */
export function describeAll(model: Module, { schemes, kvCacheScheme }: ModelQuantization): AskedFor {
  const asked = new Map<string, string>();
  for (const [path, module] of model.namedModules()) {
    const scheme = schemes.get(module);
    if (scheme) asked.set(path, describeScheme(scheme));
  }
  if (kvCacheScheme) asked.set("kv_cache_scheme", describeScheme({ ...NOTHING, inputActivations: kvCacheScheme }));
  return asked;
}

const NOTHING = { targets: [], weights: null, inputActivations: null, outputActivations: null, format: null };

/**
 * What the recipe beside a checkpoint asks for.
 *
 * @param onNote - told of a recipe that cannot be compared, such as one with modifiers of somebody's own
 */
export async function readAskedFor(
  checkpoint: Checkpoint,
  onNote: (note: string) => void,
): Promise<AskedFor | undefined> {
  if (!(await checkpoint.listFiles()).includes(RECIPE_FILE)) return undefined;
  const path = join(checkpoint.folder, RECIPE_FILE);
  try {
    const model = createModel(checkpoint.config);
    const modifiers = createModifiers(path).filter(({ shrink }) => !shrink); // the model is smaller already
    initializeModifiers(modifiers, model, { warn: () => undefined });
    return describeAll(model, mergeQuantization(modifiers));
  } catch (error) {
    if (!(error instanceof LayerwiseError)) throw error;
    onNote(`${path}: not compared with config.json, as it cannot be read here: ${error.message}`);
    return undefined;
  }
}

/** Compares what config.json says is quantized with what was asked for, module by module. */
export function checkRecipe({ model, quantization }: StoredModel, asked: AskedFor): Problem[] {
  const said = describeAll(model, quantization);
  // the schemes of attention say how the cache is quantized too
  const paths = [...new Set([...asked.keys(), ...said.keys()])].filter(
    (path) => path !== "kv_cache_scheme" || asked.has(path),
  );
  return paths.flatMap((path) => {
    const [expected, found] = [asked.get(path), said.get(path)];
    if (expected === found) return [];
    const advice = "Compress the model again, or correct quantization_config.";
    if (found === undefined)
      return [problem(path, "not quantized by config.json", `${expected}, as the recipe asks for`, advice)];
    return [problem(path, `${found} by config.json`, `${expected ?? "it as it is"}, as the recipe asks for`, advice)];
  });
}
