import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

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

const root = fileURLToPath(new URL("../src", import.meta.url));
const files = readdirSync(root, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts") && !file.endsWith(".d.ts"))
  .filter((file) => !file.startsWith(join("kernels", "assembly")));

const sources = new Map(
  files.map((file) => [
    file,
    ts.createSourceFile(file, readFileSync(join(root, file), "utf8"), ts.ScriptTarget.Latest, true),
  ]),
);

/** Files of src that a file imports or re-exports from, types included. */
function importsOf(file: string): string[] {
  const statements = sources.get(file)?.statements ?? [];
  return statements.flatMap((statement) => {
    if (!(ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement)) || !statement.moduleSpecifier)
      return [];
    const specifier = (statement.moduleSpecifier as ts.StringLiteral).text;
    return specifier.startsWith(".") ? [relative(root, resolve(root, dirname(file), specifier))] : [];
  });
}

function roomOf(file: string): string {
  return file.split("/")[0];
}

test("every file is in a known room", () => {
  expect(files.map(roomOf).filter((room) => !ROOMS.includes(room))).toEqual([]);
});

test("a file imports only from its own room or one above it", () => {
  const order = (file: string) => ROOMS.indexOf(roomOf(file));
  const upward = files.flatMap((file) =>
    importsOf(file).flatMap((imported) => (order(imported) > order(file) ? [`${file} imports ${imported}`] : [])),
  );
  expect(upward).toEqual([]);
});

test("no files import one another in a circle", () => {
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]) => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(" → "));
    if (path.includes(file) || done.has(file)) return;
    for (const imported of importsOf(file)) visit(imported, [...path, file]);
    done.add(file);
  };
  for (const file of files) visit(file, []);
  expect(circles).toEqual([]);
});

test("files stay under 300 lines", () => {
  expect(files.filter((file) => readFileSync(join(root, file), "utf8").split("\n").length > 300)).toEqual([]);
});

describe("exports", () => {
  const exported = files.flatMap((file) =>
    (sources.get(file)?.statements ?? [])
      .filter((statement) => ts.canHaveModifiers(statement) && ts.getModifiers(statement)?.some(isExport))
      .map((statement) => ({ file, statement })),
  );

  test("every exported name has a doc comment", () => {
    const undocumented = exported.filter(({ statement }) => ts.getJSDocCommentsAndTags(statement).length === 0);
    expect(undocumented.map(({ file, statement }) => `${file}: ${statement.getText().split("\n")[0]}`)).toEqual([]);
  });

  test("no default exports", () => {
    const defaults = exported.filter(({ statement }) => statement.getText().startsWith("export default"));
    expect(defaults.map(({ file }) => file)).toEqual([]);
  });
});

function isExport(modifier: ts.ModifierLike): boolean {
  return modifier.kind === ts.SyntaxKind.ExportKeyword;
}
