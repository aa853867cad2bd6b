import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const root = fileURLToPath(new URL("..", import.meta.url));

/** The TypeScript files below some folders of the project by their paths in it, WebAssembly's left out. */
export function parseSources(folders: readonly string[]): Map<string, ts.SourceFile> {
  const paths = folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((file) => join(folder, file)),
  );
  const sources = paths.filter((path) => /(?<!\.d)\.ts$/.test(path) && !path.startsWith("src/kernels/assembly"));
  return new Map(
    sources.map((path) => [
      path,
      ts.createSourceFile(path, readFileSync(join(root, path), "utf8"), ts.ScriptTarget.Latest, true),
    ]),
  );
}

/** What a file takes from another one of the project, types included. */
interface SourceImport {
  /** The other file's path in the project. */
  readonly from: string;
  /** The names there; none for a whole namespace. */
  readonly names?: readonly string[];
  /** What the file itself calls each of them. */
  readonly aliases?: readonly string[];
}

/** Imports and re-exports of a file from others of the project. */
export function importsOf(path: string, source: ts.SourceFile): SourceImport[] {
  return source.statements.flatMap((statement) => {
    if (!(ts.isImportDeclaration(statement) || ts.isExportDeclaration(statement)) || !statement.moduleSpecifier)
      return [];
    const specifier = (statement.moduleSpecifier as ts.StringLiteral).text;
    if (!specifier.startsWith(".")) return [];
    const bindings = ts.isImportDeclaration(statement) ? statement.importClause?.namedBindings : statement.exportClause;
    const elements =
      bindings && (ts.isNamedImports(bindings) || ts.isNamedExports(bindings)) ? bindings.elements : undefined;
    const names = elements?.map(({ propertyName, name }) => (propertyName ?? name).text);
    const aliases = elements?.map(({ name }) => name.text);
    return [{ from: relative(root, resolve(root, dirname(path), specifier)), names, aliases }];
  });
}

/** The statements of a file that export what they declare. */
export function exportedStatements(source: ts.SourceFile): ts.Statement[] {
  return source.statements.filter(
    (statement) =>
      ts.canHaveModifiers(statement) &&
      ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword),
  );
}

/** The names that a statement declares; of a pattern, all that it binds. */
export function declaredNames(statement: ts.Statement): string[] {
  if (!ts.isVariableStatement(statement)) {
    const { name } = statement as ts.DeclarationStatement;
    return name ? [name.text] : [];
  }
  const namesOf = (name: ts.BindingName): string[] =>
    ts.isIdentifier(name)
      ? [name.text]
      : name.elements.flatMap((element) => (ts.isOmittedExpression(element) ? [] : namesOf(element.name)));
  return statement.declarationList.declarations.flatMap(({ name }) => namesOf(name));
}
