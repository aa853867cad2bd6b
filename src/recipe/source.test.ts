import { truncateSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { RecipeError } from "../errors.ts";
import { namedRecipe } from "./named-recipes.ts";
import { parseRecipe } from "./parse.ts";
import { readRecipeText } from "./source.ts";

test("a text is a recipe itself, a file's name stands for what the file holds", async () => {
  expect(readRecipeText("AModifier: {}")).toEqual({ text: "AModifier: {}", name: "recipe" });
  const path = join(await temporaryFolder({ "r.yml": "AModifier: {}" }), "r.yml");
  expect(readRecipeText(path)).toEqual({ text: "AModifier: {}", name: path });
});

test("a named recipe goes before a file of that name, which ./ before it names", async () => {
  const folder = await temporaryFolder({ best: "AModifier: {}" });
  const before = process.cwd();
  process.chdir(folder);
  try {
    expect(readRecipeText("best")).toEqual({ text: namedRecipe("best"), name: "best" });
    expect(readRecipeText("./best")).toEqual({ text: "AModifier: {}", name: "./best" });
  } finally {
    process.chdir(before);
  }
});

test.each(["---", "+++"])("the front matter of a .md file between %s keeps its line numbers", async (fence) => {
  const content = `${fence}\nAModifier:\n  x: 1\n${fence}\n# Model card\n---\n`;
  const path = join(await temporaryFolder({ "README.md": content }), "README.md");
  const [{ locate, fields }] = parseRecipe(readRecipeText(path).text, { name: "r" }).stages[0].modifiers;
  expect(fields).toEqual({ x: 1 });
  expect(locate(["x"])).toBe("r:3:3");
});

test("a missing file, a folder, and a .md file without front matter, are refused", async () => {
  const path = join(await temporaryFolder({ "README.md": "# Model card" }), "README.md");
  expect(() => readRecipeText(path)).toThrow(
    new RecipeError(`${path}: no front matter, expected the recipe between two lines of ---.`),
  );
  for (const missing of ["nowhere/r.yaml", "nowhere/recipe"])
    expect(() => readRecipeText(missing)).toThrow(
      new RecipeError(`${missing}: no such file, expected a recipe. Check the path.`),
    );
  expect(() => readRecipeText("src")).toThrow(new RecipeError("src: not a file, expected a recipe. Check the path."));
});

test("a file larger than any recipe is not read", async () => {
  const path = join(await temporaryFolder({ "r.yaml": "" }), "r.yaml");
  truncateSync(path, 4_000_001); // takes no room on disk
  expect(() => readRecipeText(path)).toThrow(
    new RecipeError(`${path}: 4000001 bytes, expected a recipe of at most 4000000.`),
  );
});
