import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { describeWeights } from "../src/formats/describe-weights.ts";
import { MODEL_FAMILIES } from "../src/models/registry.ts";
import { modifierTypes } from "../src/recipe/modifiers.ts";
import { presetNames, presetScheme } from "../src/schemes/presets.ts";

const read = (path: string) => readFileSync(new URL(path, import.meta.url), "utf8");
const readme = read("../README.md");

/** Cells of the table under a header, row by row. */
function table(header: string): string[][] {
  const lines = readme.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`| ${header} |`)) + 2;
  const length = lines.slice(start).findIndex((line) => !line.startsWith("|"));
  return lines
    .slice(start, start + length)
    .map((line) => line.split("|").map((cell) => cell.trim().replaceAll("`", "")));
}

test("the README lists the model types that are supported", () => {
  expect(table("`model_type`").map(([, modelType]) => modelType)).toEqual(
    MODEL_FAMILIES.map(({ modelType }) => modelType),
  );
});

test("the README lists the modifiers that a recipe can name", () => {
  expect(table("modifier").map(([, name]) => name)).toEqual(Object.keys(modifierTypes));
});

test("the README lists the presets and what they do", () => {
  const expected = presetNames.map((name) => {
    const { weights } = presetScheme(name);
    return [name, weights ? describeWeights(weights) : "as they are"];
  });
  expect(table("preset").map(([, name, weights]) => [name, weights])).toEqual(expected);
});

test("the README shows the recipe of the demo", () => {
  expect(readme).toContain(`\`\`\`yaml\n${read("../examples/gptq-w4a16.yaml")}\`\`\``);
});

test("every file that the documents link to exists", () => {
  for (const document of ["../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md"]) {
    for (const [, path] of read(document).matchAll(/\]\((?!https?:)([^)#]+)\)/g))
      expect(() => read(`../${path}`), path).not.toThrow();
  }
});
