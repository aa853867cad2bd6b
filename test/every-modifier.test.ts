import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { CompressionError } from "../src/errors.ts";
import { initializeModifiers } from "../src/modifiers/initialize.ts";
import type { CompressionStage, Modifier } from "../src/modifiers/modifier.ts";
import { oneshot } from "../src/oneshot.ts";
import { createModifiers, modifierTypes } from "../src/recipe/modifiers.ts";
import { EVERY_MODIFIER } from "./every-modifier.ts";
import { loadFixtureModel } from "./fixture-model.ts";
import { folderBytes } from "./folder-bytes.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const every = Object.entries(EVERY_MODIFIER).map(([name, { model = "llama", recipe }]) => ({ name, model, recipe }));
const rows = Array.from({ length: 3 }, (_, row) => ({
  input_ids: Array.from({ length: 24 }, (_, index) => (7 + 11 * index + 5 * row) % 256),
}));

test("there is a recipe for every modifier", () => {
  expect(Object.keys(EVERY_MODIFIER)).toEqual(Object.keys(modifierTypes));
});

test.each(every)("with $name, the recipe that is written gives the same bytes again, recipe and all", async (one) => {
  const folder = await temporaryFolder();
  const compress = async (recipe: string, name: string) => {
    const output = join(folder, name);
    await oneshot({
      model: fileURLToPath(new URL(`./fixtures/models/${one.model}`, import.meta.url)),
      recipe,
      dataset: rows,
      output,
      threads: 1,
      seed: 3,
    });
    return output;
  };
  const first = await compress(one.recipe, "first");
  expect(await folderBytes(await compress(join(first, "recipe.yaml"), "again"))).toEqual(await folderBytes(first));
});

describe("a module that nothing observed is an error that names it", () => {
  /** A stage of a whole model, none of which was run. */
  function unobserved(modifier: Modifier, model: ReturnType<typeof loadFixtureModel>): CompressionStage {
    const modules = model.namedModules();
    for (const [, module] of modules) modifier.taps?.(module);
    return { modules, statistic: () => undefined } as unknown as CompressionStage;
  }

  const calibrated = every.flatMap(({ name, ...rest }) => {
    const index = createModifiers(rest.recipe).findIndex((modifier) => modifier.name === name);
    return createModifiers(rest.recipe)[index].requiresCalibrationData ? [{ name, index, ...rest }] : [];
  });

  test.each(calibrated)("$name", async ({ model: modelName, recipe, index }) => {
    const model = loadFixtureModel(modelName);
    const modifiers = createModifiers(recipe);
    initializeModifiers(modifiers, model, { warn() {} });
    const { survey } = modifiers[index];
    for (const observer of [modifiers[index], ...(survey ? [survey] : [])]) {
      const compressed = observer.compress(unobserved(observer, model));
      await expect(compressed).rejects.toThrow(CompressionError);
      await expect(compressed).rejects.toThrow(
        /^model\.layers\.0\.\S+.*: (never run on|saw no token of) the calibration data/,
      );
    }
  });
});
