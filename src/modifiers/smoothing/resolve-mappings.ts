import { RecipeError } from "../../errors.ts";
import { matchModules } from "../../nn/match.ts";
import type { Module } from "../../nn/module.ts";
import type { CoupledModules, ModifierContext } from "../modifier.ts";
import { findMappings } from "./find-mappings.ts";
import { type Candidate, describeMapping, type Mapping } from "./mapping.ts";

/** A mapping as a recipe gives it: patterns of modules as {@link matchModules} takes them. */
export interface MappingPatterns {
  /** The norms or linears whose output is divided. */
  readonly smoothLayer: string;
  /** The linears that read it; what else reads it is balanced too. */
  readonly balanceLayers: readonly string[];
}

/** How a modifier comes to its mappings. */
interface ResolveOptions {
  readonly modifier: string;
  /** What the recipe gives; without it, the mappings come from a trace of the model. */
  readonly given?: readonly MappingPatterns[];
  /** Which of the traced mappings the modifier takes where the recipe gives none. */
  readonly isDefault: (mapping: Mapping) => boolean;
}

/**
 * The mappings of a modifier, in the order in which the model calls their modules.
 *
 * @throws RecipeError for patterns that match nothing, for outputs that something else than linears reads, for linears that
 *   do not read the output that they are to balance, and for a model without any mapping
 */
export function resolveMappings(
  model: Module,
  { modifier, given, isDefault }: ResolveOptions,
  { warn }: Pick<ModifierContext, "warn">,
): Mapping[] {
  const candidates = findMappings(model);
  const mappings = given
    ? new Set(given.flatMap((patterns) => matchPatterns(modifier, model, candidates, patterns, warn)))
    : candidates.flatMap(({ mapping }) => (mapping?.isInner && isDefault(mapping) ? [mapping] : []));
  const found = candidates.flatMap(({ mapping }) => (mapping && [...mappings].includes(mapping) ? [mapping] : []));
  if (found.length > 0) return found;
  throw new RecipeError(
    `${modifier}: no mapping in this model, expected a norm or linear whose output linears alone read. Leave the modifier out.`,
  );
}

/** The modules of each mapping, which are changed together. */
export function coupledModules(mappings: readonly Mapping[]): CoupledModules[] {
  return mappings.map((mapping) => ({
    name: describeMapping(mapping),
    modules: [mapping.module, ...mapping.balanced.map(({ module }) => module)],
  }));
}

function matchPatterns(
  modifier: string,
  model: Module,
  candidates: readonly Candidate[],
  { smoothLayer, balanceLayers }: MappingPatterns,
  warn: ModifierContext["warn"],
): Mapping[] {
  const smooth = matchModules(model, [smoothLayer]);
  const balance = matchModules(model, balanceLayers);
  const chosen = candidates.filter(({ module }) => smooth.has(module));
  const where = `${modifier}: mapping ${smoothLayer} → ${balanceLayers.join(", ")}`;
  if (chosen.length === 0) throw new RecipeError(`${where}: no norm or linear, expected one whose output is divided.`);
  const shared = chosen.filter(({ obstacle }) => obstacle?.isShared);
  if (shared.length > 0) {
    const { path, obstacle } = shared[0];
    warn(`${where}: skipped for ${shared.length} modules such as ${path}: ${obstacle?.reason}.`);
  }
  const mappings = chosen.filter((candidate) => !shared.includes(candidate)).map((one) => mappingOf(one, where));
  for (const mapping of mappings) checkBalance(mapping, balance, where, warn);
  checkReads(model, mappings, shared.length > 0 ? new Set() : balance, where);
  return mappings;
}

function mappingOf({ path, mapping, obstacle }: Candidate, where: string): Mapping {
  if (mapping) return mapping;
  throw new RecipeError(
    `${where}: the output of ${path} cannot be divided, ${obstacle?.reason}; expected linears alone to read it. ` +
      "Leave it out of the mapping.",
  );
}

function checkBalance(
  mapping: Mapping,
  balance: ReadonlySet<Module>,
  where: string,
  warn: ModifierContext["warn"],
): void {
  const left = mapping.balanced.filter(({ module }) => !balance.has(module)).map(({ path }) => path);
  if (left.length === mapping.balanced.length) {
    throw new RecipeError(
      `${where}: none of the latter reads ${mapping.path}, expected ${left.join(", ")}. Correct the mapping.`,
    );
  }
  if (left.length > 0) warn(`${where}: ${mapping.path} is read also by ${left.join(", ")}, balanced as well.`);
}

/** Every linear that the patterns match must read one of the outputs. */
function checkReads(model: Module, mappings: readonly Mapping[], balance: ReadonlySet<Module>, where: string): void {
  const readers = new Set(mappings.flatMap(({ balanced }) => balanced.map(({ module }) => module)));
  const strangers = model.namedModules().filter(([, module]) => balance.has(module) && !readers.has(module));
  if (strangers.length === 0) return;
  const paths = strangers.map(([path]) => path).slice(0, 5);
  throw new RecipeError(
    `${where}: ${paths.join(", ")} not among the readers of ${smoothNames(mappings)}, expected all to be. Correct the mapping.`,
  );
}

function smoothNames(mappings: readonly Mapping[]): string {
  return mappings
    .map(({ path }) => path)
    .slice(0, 5)
    .join(", ");
}
