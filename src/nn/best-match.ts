import { classNames, matchesPattern, namesOf } from "./match.ts";
import type { Module } from "./module.ts";

/** Something that is for the modules that its targets name. */
interface HasTargets {
  readonly targets: readonly string[];
}

/**
 * The candidate for a module, in the order in which readers of compressed-tensors look: one that has its full name, then one
 * with a pattern, then one with its class; among equals, the first target in alphabetical order.
 */
export function bestMatch<Candidate extends HasTargets>(
  path: string,
  module: Module,
  candidates: readonly Candidate[],
): Candidate | undefined {
  const targets = candidates.flatMap((candidate) => candidate.targets.map((target) => ({ target, candidate })));
  targets.sort((a, b) => Number(a.target > b.target) - Number(a.target < b.target));
  const [names, classes] = [namesOf(path, module), classNames(module)];
  const match =
    targets.find(({ target }) => names.includes(target)) ??
    targets.find(({ target }) => names.some((name) => matchesPattern(target, name))) ??
    targets.find(({ target }) => classes.includes(target));
  return match?.candidate;
}
