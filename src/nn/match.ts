import { timeLimited } from "../checkpoint/time-limit.ts";
import { RecipeError } from "../errors.ts";
import { Module } from "./module.ts";
import { nearestNames } from "./nearest-names.ts";

/**
 * Modules that any of `targetNames` names: by full dotted name, by class name (its own or a base class's), or by
 * `re:` and a regular expression that matches the full name from its start (not necessarily to its end).
 *
 * Follows `match_modules` of llm-compressor, but a pattern that matches nothing is an error.
 *
 * @throws RecipeError that names the pattern and the nearest names
 */
export function matchModules(model: Module, targetNames: readonly string[]): Set<Module> {
  return timeLimited(findModules, `targets ${targetNames.join(", ").slice(0, 100)}`, { failure: RecipeError })(
    model,
    targetNames,
  );
}

function findModules(model: Module, targetNames: readonly string[]): Set<Module> {
  const modules = model.namedModules();
  const [unmatched] = findUnmatched(modules, targetNames);
  if (unmatched !== undefined) throw matchesNothing(unmatched, modules);
  return new Set(modules.filter(([name, module]) => matchesAny(targetNames, name, module)).map(([, module]) => module));
}

/** Those of `patterns` that name no module, each with the nearest names. @throws RecipeError for one that takes too long */
export function unmatchedPatterns(
  model: Module,
  patterns: readonly string[],
): { readonly pattern: string; readonly nearest: readonly string[] }[] {
  const find = timeLimited(findUnmatched, `patterns ${patterns.join(", ").slice(0, 100)}`, { failure: RecipeError });
  const modules = model.namedModules();
  return find(modules, patterns).map((pattern) => ({ pattern, nearest: nearestModules(pattern, modules) }));
}

function findUnmatched(modules: readonly [string, Module][], patterns: readonly string[]): string[] {
  return patterns.filter((pattern) => !modules.some(([name, module]) => matchesTarget(pattern, name, module)));
}

/** Whether any pattern names the module. */
export function matchesAny(targets: readonly string[], name: string, module: Module): boolean {
  return targets.some((target) => matchesTarget(target, name, module));
}

function matchesTarget(target: string, name: string, module: Module): boolean {
  const names = namesOf(name, module);
  return (
    names.includes(target) || names.some((one) => matchesPattern(target, one)) || classNames(module).includes(target)
  );
}

/** The full names by which recipes may name a module: its path, and its alias where it has one. */
export function namesOf(path: string, { alias }: Module): string[] {
  return alias === undefined ? [path] : [path, alias];
}

/** Whether `target` is a `re:` pattern that matches the name from its start. */
export function matchesPattern(target: string, name: string): boolean {
  return target.startsWith("re:") && compilePattern(target).test(name);
}

/** Names of a module's class and its base classes, up to but without Module. */
export function classNames(module: Module): string[] {
  const names: string[] = [];
  for (let type = module.constructor; type !== Module && type.name !== ""; type = Object.getPrototypeOf(type))
    names.push(type.name);
  return names;
}

/** Python's `re.match`: anchored at the start only. */
function compilePattern(target: string): RegExp {
  const source = target.slice("re:".length);
  try {
    return new RegExp(`^(?:${source})`);
  } catch (cause) {
    throw new RecipeError(`${target}: not a regular expression, expected one that JavaScript can read. Correct it.`, {
      cause,
    });
  }
}

function matchesNothing(target: string, modules: readonly [string, Module][]): RecipeError {
  const nearest = nearestModules(target, modules).join(", ");
  return new RecipeError(
    `${target}: matches no module, expected a module name, class name or re: pattern. Nearest: ${nearest}.`,
  );
}

/** The names and class names closest to a pattern. */
function nearestModules(pattern: string, modules: readonly [string, Module][]): string[] {
  const known = modules.flatMap(([name, module]) => [name, ...classNames(module)]).filter((name) => name !== "");
  return nearestNames(pattern.replace(/^re:/, ""), new Set(known));
}
