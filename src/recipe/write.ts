import { stringify } from "yaml";
import type { Modifier } from "../modifiers/modifier.ts";
import { snakeCased } from "./names.ts";

type Fields = Record<string, unknown>;

/**
 * A recipe of one stage that gives the same modifiers when read: for the file beside the output. Values are plain, so
 * that any YAML reader takes it, llm-compressor's too.
 *
 * @param facts - lines that come first, as comments: see {@link describeRun}
 */
export function writeRecipe(modifiers: readonly Modifier[], facts: readonly string[] = []): string {
  const groups: Fields[] = [];
  for (const { name, options } of modifiers) {
    // a class twice in one mapping would be one key twice: the second opens a new group
    if (groups.length === 0 || Object.hasOwn(groups[groups.length - 1], name)) groups.push({});
    groups[groups.length - 1][name] = fieldsOf(options);
  }
  const labelled = groups.map((group, index) => [
    index === 0 ? "default_modifiers" : `default_${index}_modifiers`,
    group,
  ]);
  const recipe = { default_stage: Object.fromEntries(labelled) };
  const comments = facts.map((fact) => `# ${fact}\n`).join("");
  return comments + stringify(recipe, { aliasDuplicateObjects: false, compat: "yaml-1.1", lineWidth: 120 });
}

/** Options as recipes spell them; names of groups and of an observer's own arguments stay as they are. */
function fieldsOf(options: object): Fields {
  const fields = snakeCased(options);
  if (Array.isArray(fields.mappings)) {
    fields.mappings = fields.mappings.map((mapping) => (isMapping(mapping) ? snakeCased(mapping) : mapping));
  }
  if (isMapping(fields.kv_cache_scheme)) fields.kv_cache_scheme = snakeCased(fields.kv_cache_scheme);
  const groups = fields.config_groups as Readonly<Record<string, object>> | undefined;
  if (groups === undefined) return fields;
  const spelled = Object.entries(groups).map(([name, group]) => [name, schemeFields(group)]);
  return { ...fields, config_groups: Object.fromEntries(spelled) };
}

/** A scheme's own fields, and those of the arguments in it. */
function schemeFields(scheme: object): Fields {
  const fields = Object.entries(snakeCased(scheme));
  return Object.fromEntries(fields.map(([name, value]) => [name, isMapping(value) ? snakeCased(value) : value]));
}

function isMapping(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
