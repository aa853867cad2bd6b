import ts from "typescript";
import { expect, test } from "vitest";
import { declaredNames, exportedStatements, importsOf, parseSources } from "./source-files.ts";

const all = parseSources(["src", "test", "bench", "examples"]);
const program = [...all].filter(([file]) => file.startsWith("src/") && !file.endsWith(".test.ts"));
const exported = program.flatMap(([file, source]) =>
  exportedStatements(source).map((statement) => ({ file, source, statement })),
);

test("every exported name has a doc comment", () => {
  const undocumented = exported.filter(({ statement }) => ts.getJSDocCommentsAndTags(statement).length === 0);
  expect(undocumented.map(({ file, statement }) => `${file}: ${statement.getText().split("\n")[0]}`)).toEqual([]);
});

test("no default exports", () => {
  const defaults = exported.filter(({ statement }) => statement.getText().startsWith("export default"));
  expect(defaults.map(({ file }) => file)).toEqual([]);
});

test("what is exported is read by another file, and by more than tests", () => {
  const inProgram = namesRead(program);
  const anywhere = namesRead(all);
  const unread = exported.flatMap(({ file, source, statement }) =>
    declaredNames(statement)
      .filter((name) => {
        const isRead = (names: ReadonlySet<string>) => names.has(`${file}: ${name}`) || names.has(`${file}: *`);
        return !isRead(inProgram) && !(isRead(anywhere) && isReadWithin(source, name));
      })
      .map((name) => `${file}: ${name}`),
  );
  expect(unread).toEqual([]);
});

/** What files take from others, each as "file: name", or "file: *" for all of it. */
function namesRead(files: Iterable<[string, ts.SourceFile]>): Set<string> {
  const imports = [...files].flatMap(([file, source]) => importsOf(file, source));
  return new Set(imports.flatMap(({ from, names = ["*"] }) => names.map((name) => `${from}: ${name}`)));
}

/** Whether a file names what it declares a second time, comments not counted. */
function isReadWithin(source: ts.SourceFile, name: string): boolean {
  let count = 0;
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node) && node.text === name) count++;
    ts.forEachChild(node, visit);
  };
  visit(source);
  return count > 1;
}
