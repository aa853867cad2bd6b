import ts from "typescript";
import { expect, test } from "vitest";
import { declaredNames, importsOf, parseSources } from "./source-files.ts";

const sources = parseSources(["src"]);
const INDEX = "src/index.ts";

/** Where a name of a file is declared, through imports and re-exports, as "file: name"; nothing for what is not the project's. */
function declarationOf(file: string, name: string): string | undefined {
  const source = sources.get(file) as ts.SourceFile;
  if (statementOf(file, name)) return `${file}: ${name}`;
  for (const { from, names, aliases } of importsOf(file, source)) {
    const index = (aliases ?? names)?.indexOf(name) ?? -1;
    if (index >= 0) return declarationOf(from, names?.[index] as string);
  }
  return undefined;
}

function statementOf(file: string, name: string): ts.Statement | undefined {
  return sources.get(file)?.statements.find((one) => isDeclaration(one) && declaredNames(one).includes(name));
}

function isDeclaration(statement: ts.Statement): boolean {
  return ts.isVariableStatement(statement) || ts.isDeclarationStatement(statement);
}

/** The types that a declaration shows: bodies, values, and members that are private or protected left out. */
function typesShownBy(node: ts.Node): string[] {
  if (ts.isBlock(node) || isHidden(node)) return [];
  if (ts.isTypeReferenceNode(node) && ts.isIdentifier(node.typeName))
    return [node.typeName.text, ...(node.typeArguments ?? []).flatMap(typesShownBy)];
  if (ts.isExpressionWithTypeArguments(node) && ts.isIdentifier(node.expression))
    return [node.expression.text, ...(node.typeArguments ?? []).flatMap(typesShownBy)];
  const shown: string[] = [];
  ts.forEachChild(node, (child) => {
    const isValue = ts.isExpression(child) && !ts.isExpressionWithTypeArguments(child);
    if (!isValue) shown.push(...typesShownBy(child));
  });
  return shown;
}

function isHidden(node: ts.Node): boolean {
  if (ts.isClassElement(node) && node.name && ts.isPrivateIdentifier(node.name)) return true;
  const hidden = [ts.SyntaxKind.PrivateKeyword, ts.SyntaxKind.ProtectedKeyword];
  return ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some(({ kind }) => hidden.includes(kind));
}

test("a type that a public name shows is public itself", () => {
  const index = sources.get(INDEX) as ts.SourceFile;
  const exported = importsOf(INDEX, index).flatMap(({ from, names = [] }) =>
    names.flatMap((name) => declarationOf(from, name) ?? []),
  );
  const missing = exported.flatMap((place) => {
    const [file, name] = place.split(": ");
    const shown = typesShownBy(statementOf(file, name) as ts.Statement);
    const declared = shown.flatMap((type) => declarationOf(file, type) ?? []);
    return declared.filter((type) => !exported.includes(type)).map((type) => `${name} shows ${type}`);
  });
  expect(exported.length).toBeGreaterThan(0);
  expect(missing).toEqual([]);
});
