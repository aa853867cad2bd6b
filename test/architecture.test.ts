import { expect, test } from "vitest";
import { importsOf, parseSources } from "./source-files.ts";

/** Folders and files of src in the order of dependency, foundation first: see CONTRIBUTING. */
const ROOMS = [
  "errors.ts",
  "version.ts",
  "profile",
  "wasm",
  "tensor",
  "kernels",
  "gguf",
  "checkpoint",
  "output",
  "fx",
  "ops",
  "runtime",
  "nn",
  "models",
  "schemes",
  "observers",
  "modifiers",
  "formats",
  "data",
  "sequential",
  "recipe",
  "evaluate",
  "workers",
  "verify",
  "export",
  "oneshot-options.ts",
  "preparation.ts",
  "oneshot.ts",
  "worker.ts",
  "estimate",
  "index.ts",
  "cli",
];

const sources = new Map([...parseSources(["src"])].filter(([file]) => !file.endsWith(".test.ts")));
const files = [...sources.keys()];
const imports = new Map(
  [...sources].map(([file, source]) => [file, importsOf(file, source).map(({ from }) => from)] as const),
);

function roomOf(file: string): string {
  return file.split("/")[1];
}

test("every file is in a known room", () => {
  expect(files.map(roomOf).filter((room) => !ROOMS.includes(room))).toEqual([]);
});

test("a file imports only from its own room or one above it", () => {
  const order = (file: string) => ROOMS.indexOf(roomOf(file));
  const upward = [...imports].flatMap(([file, imported]) =>
    imported.filter((from) => order(from) > order(file)).map((from) => `${file} imports ${from}`),
  );
  expect(upward).toEqual([]);
});

test("no files import one another in a circle", () => {
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]) => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(" → "));
    if (path.includes(file) || done.has(file)) return;
    for (const imported of imports.get(file) ?? []) visit(imported, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  expect(circles).toEqual([]);
});

test("files stay under 300 lines", () => {
  expect([...sources].filter(([, { text }]) => text.split("\n").length > 300).map(([file]) => file)).toEqual([]);
});
