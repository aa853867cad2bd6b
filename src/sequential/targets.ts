import { RecipeError } from "../errors.ts";
import type { Graph } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import type { Module } from "../nn/module.ts";

/** All nodes that call a target. A module that is called twice has two. Follows `find_target_nodes`. */
export function findTargetNodes(model: Module, graph: Graph, targets: ReadonlySet<Module>): Set<Node> {
  const paths = new Set(model.namedModules().flatMap(([path, module]) => (targets.has(module) ? [path] : [])));
  return new Set(graph.nodes.filter((node) => node.op === "call_module" && paths.has(node.targetName)));
}

/** All nodes in which modules are called: their own calls, or those of the modules that hold them. */
export function findCalls(model: Module, graph: Graph, modules: ReadonlySet<Module>): Set<Node> {
  const paths = model.namedModules().flatMap(([path, module]) => (modules.has(module) ? [path] : []));
  const holds = ({ targetName }: Node) => paths.some((path) => `${path}.`.startsWith(`${targetName}.`));
  return new Set(graph.nodes.filter((node) => node.op === "call_module" && holds(node)));
}

/**
 * Modules on the way from the root to a target: those with a target below them that are neither targets themselves nor
 * below one. Follows `get_sequential_ancestors`.
 */
export function getSequentialAncestors(model: Module, targets: ReadonlySet<Module>): Set<Module> {
  const ancestors = new Set<Module>();
  const containsTarget = (module: Module): boolean => {
    if (targets.has(module)) return true;
    const below = [...module.namedChildren()].map(([, child]) => containsTarget(child));
    if (below.includes(true)) ancestors.add(module);
    return below.includes(true);
  };
  containsTarget(model);
  return ancestors;
}

/** The part of the one-shot arguments that names targets. */
export interface TargetArguments {
  /** Patterns of the modules to compress one after another; by default the decoder layers. */
  readonly sequentialTargets?: readonly string[] | string | null;
  /**
   * Cuts the model before every group of linears that read the same value, instead of by decoder layers: each group is
   * calibrated on what the compressed ones before it really give, and the model is run once instead of twice. Linears that a
   * modifier changes together with a norm or linear before them lie in one part with it; AWQ's parts are attention and
   * feed-forward. False.
   */
  readonly onePass?: boolean;
}

/**
 * Patterns of the modules that a partition must not cut: given by one modifier, or by the arguments, else the model's
 * decoder layer classes. Follows `get_sequential_targets`.
 *
 * @throws RecipeError that names both sides when more than one gives targets
 */
export function getSequentialTargets(
  modifiers: readonly Pick<Modifier, "name" | "sequentialTargets">[],
  model: Module & { readonly noSplitModules: readonly string[] },
  { sequentialTargets, onePass }: TargetArguments = {},
): readonly string[] {
  const givers = modifiers.filter((modifier) => modifier.sequentialTargets).map(({ name }) => name);
  if (sequentialTargets != null) givers.push("the argument sequentialTargets");
  if (onePass) givers.push("onePass");
  if (givers.length > 1) {
    throw new RecipeError(
      `sequential targets: given by ${givers.join(" and ")}, expected one of them. Remove all but one.`,
    );
  }
  if (onePass) return ["Linear"];
  const given = modifiers.find((modifier) => modifier.sequentialTargets)?.sequentialTargets ?? sequentialTargets;
  if (given == null) return model.noSplitModules;
  return typeof given === "string" ? [given] : given;
}
