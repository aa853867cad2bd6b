import { exec } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { describeActivations, describeWeights } from "../src/formats/describe-scheme.ts";
import { formats } from "../src/formats/registry.ts";
import { ARCHITECTURES } from "../src/gguf/architectures.ts";
import { MODEL_FAMILIES } from "../src/models/registry.ts";
import { observers } from "../src/observers/registry.ts";
import { modifierTypes } from "../src/recipe/modifiers.ts";
import { namedRecipe } from "../src/recipe/named-recipes.ts";
import { presetNames, presetScheme } from "../src/schemes/presets.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { codeBlocks, DOCUMENTS, documentation, transcript } from "./transcript.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const read = (path: string) => readFileSync(here(path), "utf8");

/** Cells of the first table under a header, row by row. */
function table(header: string): string[][] {
  const lines = documentation.split("\n");
  const start = lines.findIndex((line) => line.startsWith(`| ${header} |`)) + 2;
  const length = lines.slice(start).findIndex((line) => !line.startsWith("|"));
  return lines
    .slice(start, start + length)
    .map((line) => line.split("|").map((cell) => cell.trim().replaceAll("`", "")));
}

test("the README lists the model types that are supported, and what GGUF calls them", () => {
  const inGguf = (modelType: string) => ARCHITECTURES.find(({ modelTypes }) => modelTypes.includes(modelType));
  expect(table("`model_type`").map(([, modelType, name]) => [modelType, name])).toEqual(
    MODEL_FAMILIES.map(({ modelType }) => [modelType, inGguf(modelType)?.name ?? ""]),
  );
});

test("the README lists the modifiers that a recipe can name", () => {
  expect(table("modifier").map(([, name]) => name)).toEqual(Object.keys(modifierTypes));
});

test("the README names every preset", () => {
  const named = table("weights | presets").flatMap(([, , names]) => names.split(", "));
  expect(named.sort()).toEqual(presetNames.filter((name) => name !== "UNQUANTIZED").sort());
});

test("the documents list the presets and what they do", () => {
  const expected = presetNames.map((name) => {
    const { weights, inputActivations: inputs } = presetScheme(name);
    return [
      name,
      weights ? describeWeights(weights) : "as they are",
      inputs ? describeActivations(inputs) : "as they are",
    ];
  });
  expect(table("preset").map(([, name, weights, inputs]) => [name, weights, inputs])).toEqual(expected);
});

test("the documents list the formats that are written, and the observers", () => {
  expect(table("format").map(([, name]) => name)).toEqual(Object.keys(formats));
  expect(table("observer").map(([, name]) => name)).toEqual(Object.keys(observers));
});

test("the documents' commands print what is shown of them", async () => {
  const folder = await temporaryFolder();
  await symlink(here("../examples"), join(folder, "examples"));
  const blocks = codeBlocks("console");
  expect(blocks).toHaveLength(6);
  for (const block of blocks) {
    const [, command, shown] = /^\$ npx layerwise ((?:.*\\\n)*.*)\n([\s\S]*)/.exec(block) ?? [];
    const line = `"${process.execPath}" "${here("../dist/cli.js")}" ${command} 2>&1`;
    expect((await promisify(exec)(line, { cwd: folder })).stdout, command).toMatch(transcript(shown));
  }
});

test("the documents' programs are parts of the examples, and their recipes are files or have names", () => {
  const programs = filesIn("../examples", ".ts");
  for (const block of codeBlocks("ts")) expect(programs.filter((text) => text.includes(block))).toHaveLength(1);
  const files = ["../examples", "../bench"].flatMap((folder) => filesIn(folder, ".yaml"));
  const recipes = [...files, namedRecipe("best")];
  for (const block of codeBlocks("yaml")) expect(recipes).toContain(block);
});

test("the contributor's guide lists every room", () => {
  const rooms = [...read("../CONTRIBUTING.md").matchAll(/^\| `([\w.-]+)\/?` \|/gm)].map(([, room]) => room);
  expect(rooms.sort()).toEqual(readdirSync(here("../src")).sort());
});

test("every file and heading that the documents link to exists", () => {
  for (const document of [...DOCUMENTS, "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"]) {
    for (const [, path, heading] of read(`../${document}`).matchAll(/\]\((?!https?:)([^)#]*)#?([^)]*)\)/g)) {
      const target = path ? join("..", dirname(document), path) : `../${document}`;
      expect(() => read(target), `${document}: ${path}`).not.toThrow();
      if (heading) expect(headingsOf(read(target)), `${document}: ${path}`).toContain(heading);
    }
  }
});

test("every document is one that is tested", () => {
  const documents = readdirSync(here("../docs")).filter((name) => name.endsWith(".md"));
  expect(documents.map((name) => `docs/${name}`).sort()).toEqual(DOCUMENTS.slice(1).sort());
});

/** Headings as links spell them: lower case, spaces as hyphens, no other punctuation. */
function headingsOf(text: string): string[] {
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading.toLowerCase());
  return headings.map((heading) => heading.replace(/[^\w\- ]/g, "").replaceAll(" ", "-"));
}

function filesIn(folder: string, extension: string): string[] {
  const names = readdirSync(here(folder)).filter((name) => name.endsWith(extension));
  return names.map((name) => read(join(folder, name)));
}
