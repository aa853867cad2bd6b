import { RecipeError } from "../../errors.ts";
import type { Node } from "../../fx/node.ts";
import { Linear } from "../../nn/linear.ts";
import type { Module } from "../../nn/module.ts";
import type { NamedLinears } from "./online-rotation.ts";
import { basisRule, carriedOperands, OperatorTrace } from "./trace.ts";

/**
 * Finds, in a trace of the model down to its operators, the linears whose input no rotation of other weights reaches, as an
 * activation function or a product of two values makes it: what closes a feed-forward (`down_proj`).
 *
 * @throws RecipeError if there are none
 */
export function findActivatedInputs(model: Module): NamedLinears {
  const modules = new Map(model.namedModules());
  const found = new Map<string, Linear>();
  for (const node of new OperatorTrace(model).graph.nodes) {
    const linear = modules.get(node.modulePath);
    if (linear instanceof Linear && basisRule(node)?.kind === "multiplies" && endsBases(node.inputs[0]))
      found.set(node.modulePath, linear);
  }
  if (found.size > 0) return [...found];
  throw new RecipeError("no Linear reads what an activation function gives, expected some. Leave R4 out of rotations.");
}

/** Whether an operator makes a value whose columns are its own, whatever basis its operands are in. */
function endsBases(node: Node): boolean {
  const rule = basisRule(node);
  return rule === undefined || (rule.kind === "carries" && carriedOperands(node).length === 0);
}

/** Patterns that name these linears and no other: by the ends of their paths, as the reference does, where that is enough. */
export function patternsOf(linears: NamedLinears, model: Module): string[] {
  const paths = linears.map(([path]) => path);
  const ends = [...new Set(paths.map((path) => path.slice(path.lastIndexOf(".") + 1)))];
  const isOther = ([path, module]: readonly [string, Module]) =>
    module instanceof Linear && !paths.includes(path) && ends.some((end) => path.endsWith(end));
  return model.namedModules().some(isOther) ? paths : ends.map((end) => `re:.*${end}$`);
}
