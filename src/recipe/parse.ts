import { isMap, isScalar, isSeq, type Node } from "yaml";
import { timeLimited } from "../checkpoint/time-limit.ts";
import { RecipeError } from "../errors.ts";
import { substituteVariables, type Variables } from "./variables.ts";
import { YamlText } from "./yaml.ts";

/** A recipe's modifiers, before anyone has looked at their fields. */
export interface RecipeDocument {
  /** In the order in which they run. */
  readonly stages: readonly RecipeStage[];
}

/** Modifiers under one `*_stage` key. */
export interface RecipeStage {
  /** The key without `_stage`; "default" where the recipe has no stages. */
  readonly name: string;
  readonly modifiers: readonly ModifierEntry[];
}

/** One modifier as the recipe has it. */
export interface ModifierEntry {
  readonly className: string;
  readonly stage: string;
  /** The key above it without `_modifiers`, a label only. */
  readonly group: string;
  /** As written, variables replaced. */
  readonly fields: unknown;
  /** Where in the recipe a field is, as `name:line:column`; the modifier itself without a path. */
  locate(path?: readonly PropertyKey[]): string;
}

/** How a recipe's text is read. */
export interface ParseOptions {
  /** What messages call the text. "recipe". */
  readonly name?: string;
  /** Values of `$name`; they win over the recipe's own `args`. */
  readonly variables?: Variables;
  /** Only stages whose key starts with this. */
  readonly stage?: string;
}

/** Characters; no recipe is near it. */
const MAX_LENGTH = 1_000_000;

/**
 * Parses a recipe in YAML or JSON: `*_stage` keys over `*_modifiers` keys over modifiers, as llm-compressor has them, or
 * modifiers alone.
 *
 * @throws RecipeError naming line and column.
 */
export function parseRecipe(
  text: string,
  { name = "recipe", variables = {}, stage = "" }: ParseOptions = {},
): RecipeDocument {
  if (text.length > MAX_LENGTH) {
    throw new RecipeError(`${name}: ${text.length} characters, expected at most ${MAX_LENGTH}.`);
  }
  const read = () => {
    const yaml = new YamlText(text, name);
    substituteVariables(yaml, variables);
    return { stages: filterStages(readStages(yaml), stage, name) };
  };
  try {
    return timeLimited(read, name, { failure: RecipeError })(); // the parser compares each key with all others
  } catch (cause) {
    if (cause instanceof RecipeError) throw cause;
    // nested too deep for the parser, or more aliases than it allows
    throw new RecipeError(`${name}: ${(cause as Error).message}, expected a recipe.`, { cause });
  }
}

function readStages(yaml: YamlText): RecipeStage[] {
  const { contents } = yaml.document;
  const entries = yaml.entries(contents).filter(({ name }) => name !== "args");
  const staged = entries.some(({ name }) => name.endsWith("_stage"));
  if (staged) return entries.flatMap((entry) => readStage(yaml, entry));
  if (isSeq(contents) || entries.some(({ name }) => name.endsWith("Modifier"))) {
    return [{ name: "default", modifiers: readModifiers(yaml, contents, { stage: "default", group: "default" }) }];
  }
  const found = entries.length === 0 ? "no keys" : `keys ${entries.map(({ name }) => `"${name}"`).join(", ")}`;
  const expected = "expected one that ends in _stage, or modifiers such as GPTQModifier";
  throw new RecipeError(`${yaml.at(contents)}: ${found}, ${expected}.`);
}

interface Entry {
  readonly key: Node;
  readonly name: string;
  readonly value: unknown;
}

function readStage(yaml: YamlText, { key, name, value }: Entry): RecipeStage[] {
  if (!name.endsWith("_stage")) return ignoreUnlessModifiers(yaml, { key, name, value }, "_stage");
  if (!isMap(yaml.resolve(value))) {
    throw new RecipeError(`${yaml.at(key)}: ${name} is no mapping, expected one of *_modifiers keys.`);
  }
  const stage = name.slice(0, -"_stage".length);
  const modifiers = yaml.entries(value).flatMap((entry) => {
    if (!entry.name.endsWith("_modifiers")) return ignoreUnlessModifiers(yaml, entry, "_modifiers");
    return readModifiers(yaml, entry.value, { stage, group: entry.name.slice(0, -"_modifiers".length) });
  });
  return [{ name: stage, modifiers }];
}

/** Other keys mean nothing, unless they hold modifiers: then their name is a mistake. */
function ignoreUnlessModifiers(yaml: YamlText, { key, name, value }: Entry, suffix: string): [] {
  const names = [name, ...yaml.entries(value).map((entry) => entry.name)];
  if (!names.some((one) => /(Modifier|_modifiers)$/.test(one))) return [];
  throw new RecipeError(
    `${yaml.at(key)}: "${name}" holds modifiers, expected a key that ends in ${suffix}. Rename it.`,
  );
}

/** Modifiers by class name: one mapping of them, or a list of mappings; `args` is no modifier. */
function readModifiers(yaml: YamlText, node: unknown, labels: { stage: string; group: string }): ModifierEntry[] {
  const resolved = yaml.resolve(node);
  if (isSeq(resolved)) return resolved.items.flatMap((item) => readModifiers(yaml, item, labels));
  if (isScalar(resolved) && typeof resolved.value === "string") {
    const entry = { key: resolved, name: resolved.value, value: null };
    return [toModifierEntry(yaml, entry, labels)];
  }
  if (!isMap(resolved)) {
    throw new RecipeError(`${yaml.at(node)}: no modifiers, expected a mapping of fields by class name.`);
  }
  return yaml
    .entries(resolved)
    .filter(({ name }) => name !== "args")
    .map((entry) => toModifierEntry(yaml, entry, labels));
}

function toModifierEntry(yaml: YamlText, entry: Entry, labels: { stage: string; group: string }): ModifierEntry {
  return {
    ...labels,
    className: entry.name,
    fields: yaml.toJS(yaml.resolve(entry.value)) ?? {},
    locate: (path = []) => yaml.locate(entry, path),
  };
}

function filterStages(stages: readonly RecipeStage[], prefix: string, name: string): readonly RecipeStage[] {
  const kept = stages.filter((stage) => `${stage.name}_stage`.startsWith(prefix));
  if (kept.length > 0) return kept;
  const names = stages.map((stage) => stage.name).join(", ");
  throw new RecipeError(`${name}: no stage starts with "${prefix}", expected one of ${names}.`);
}
