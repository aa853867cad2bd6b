import { timeLimited } from "../../checkpoint/time-limit.ts";
import { RecipeError } from "../../errors.ts";
import { Linear } from "../../nn/linear.ts";
import { matchesAny, matchModules } from "../../nn/match.ts";
import type { Module } from "../../nn/module.ts";

/** Which modules a pruning modifier is for. */
export interface PruningTargets {
  /** Modules whose linears are pruned: linears, or modules above them. `["Linear"]` by default. */
  readonly targets?: readonly string[];
  /** Modules to leave as they are, by any of their names. */
  readonly ignore?: readonly string[];
}

/** A linear that is to be pruned, with its full name. */
export interface PrunedLinear {
  readonly path: string;
  readonly module: Linear;
}

/**
 * For each module that `targets` names, in the model's order, the linears at it and below it that `ignore` does not name.
 *
 * @throws RecipeError for a target that matches nothing, and where no linear is left; `modifier` is named
 */
export function prunedLinears(
  modifier: string,
  model: Module,
  { targets = ["Linear"], ignore = [] }: PruningTargets,
): PrunedLinear[][] {
  const matched = [...matchModules(model, targets)];
  const find = timeLimited(ignoreNamed, `${modifier}: ignore`, { failure: RecipeError });
  const paths = new Map(find(model, ignore).map(({ path, module }) => [module as Module, path]));
  const found = matched.map((root) =>
    root.namedModules().flatMap(([, module]) => {
      const path = paths.get(module);
      return path === undefined ? [] : [{ path, module: module as Linear }];
    }),
  );
  if (found.some((linears) => linears.length > 0)) return found;
  throw new RecipeError(
    `${modifier}: no linear at or below ${targets.join(", ")} that is not ignored, expected some. Check targets and ignore.`,
  );
}

/** The linears that no pattern names. */
function ignoreNamed(model: Module, ignore: readonly string[]): PrunedLinear[] {
  return model
    .namedModules()
    .flatMap(([path, module]) =>
      module instanceof Linear && !matchesAny(ignore, path, module) ? [{ path, module }] : [],
    );
}
