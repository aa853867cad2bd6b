import { type Alias, isPair, isSeq, type Node, parseDocument, type Scalar, visit } from "yaml";
import { RecipeError } from "../errors.ts";
import type { YamlText } from "./yaml.ts";

/** Values by variable name. */
export type Variables = Readonly<Record<string, unknown>>;

const NAME = /^[A-Za-z_]\w*$/;

/**
 * Puts the value of each variable where `$name` is written as a whole value, in place. Values come from the recipe's own
 * `args`, and from `given`, which win.
 *
 * @throws RecipeError for a variable without a value, and for a given one that the recipe does not use.
 */
export function substituteVariables(yaml: YamlText, given: Variables): void {
  const { document } = yaml;
  const own = yaml.entries(document.contents).find(({ name }) => name === "args")?.value;
  const values: Variables = {
    ...Object.fromEntries(yaml.entries(own).map(({ name, value }) => [name, yaml.toJS(value)])),
    ...given,
  };
  const used = new Set<string>();
  let count = 0;
  visit(document, {
    Pair: (_, { value }) => (value && value === own ? visit.SKIP : undefined),
    Scalar(key, scalar, path) {
      const name = key === "key" ? undefined : variableIn(scalar);
      if (name === undefined) return undefined;
      if (!Object.hasOwn(values, name)) throw undefinedVariable(yaml.at(scalar), name, Object.keys(values));
      used.add(name);
      count += countValues(values[name]);
      yaml.checkValues(count);
      const node = document.createNode(values[name], { aliasDuplicateObjects: false });
      replace(path.at(-1), key, Object.assign(node, { range: scalar.range, anchor: scalar.anchor }));
      return visit.SKIP;
    },
    Alias: (_, alias, path) => checkAlias(yaml, alias, path),
  });
  yaml.checkSize(); // an alias of a variable now stands for all of its value
  const unused = Object.keys(given).find((name) => !used.has(name));
  if (unused === undefined) return;
  throw new RecipeError(`${yaml.name}: variable ${unused} is given, but $${unused} is nowhere in it. Check the name.`);
}

/**
 * Variables from texts like `bits=4`; a value is read as YAML.
 *
 * @throws RecipeError for a text of another form.
 */
export function parseVariables(assignments: readonly string[]): Variables {
  return Object.fromEntries(
    assignments.map((assignment) => {
      const [, name, value] = /^([^=]*)=(.*)$/s.exec(assignment) ?? [];
      const document = parseDocument(value ?? "", { prettyErrors: false });
      if (name === undefined || !NAME.test(name) || document.errors.length > 0) {
        throw new RecipeError(`variable "${assignment}": not an assignment, expected name=value.`);
      }
      return [name, document.toJS()];
    }),
  );
}

function variableIn({ value }: Scalar): string | undefined {
  return typeof value === "string" && value.startsWith("$") && NAME.test(value.slice(1)) ? value.slice(1) : undefined;
}

function countValues(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  return Object.values(value).reduce((sum: number, inner) => sum + countValues(inner), 1);
}

/** Puts `node` in place of what `parent` holds at `key`. */
function replace(parent: unknown, key: unknown, node: Node): void {
  if (isPair(parent)) parent.value = node;
  else if (isSeq(parent)) parent.items[key as number] = node;
}

function undefinedVariable(where: string, name: string, known: readonly string[]): RecipeError {
  const expected = known.length === 0 ? "none is" : `expected one of ${known.map((one) => `$${one}`).join(", ")}`;
  return new RecipeError(`${where}: variable $${name} is not defined, ${expected}. Add it to args.`);
}

function checkAlias(yaml: YamlText, alias: Alias, path: readonly unknown[]): undefined {
  const node = yaml.resolve(alias);
  if (node === undefined) throw new RecipeError(`${yaml.at(alias)}: no &${alias.source} before it, expected one.`);
  if (path.includes(node))
    throw new RecipeError(`${yaml.at(alias)}: *${alias.source} lies within itself, expected an end.`);
}
