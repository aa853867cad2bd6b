import { RecipeError } from "../../errors.ts";
import type { Graph } from "../../fx/graph.ts";
import type { Node } from "../../fx/node.ts";
import type { Module } from "../../nn/module.ts";
import type { Parameter } from "../../nn/parameter.ts";
import type { BasisRule } from "../../ops/basis.ts";
import { isOperator } from "../../ops/operator.ts";
import { traceOperators } from "../trace-operators.ts";

/** A model as one graph of operators, with its parameters by the nodes that read them. */
export class OperatorTrace {
  readonly graph: Graph;
  readonly #parameters: ReadonlyMap<string, Parameter>;

  /** Traces the model on tokens; other arguments have their defaults. */
  constructor(model: Module) {
    this.graph = traceOperators(model);
    this.#parameters = new Map(model.namedParameters());
  }

  /** The parameter that is an operand of a node. @throws RecipeError where it is computed, or read by other nodes too */
  parameter(node: Node, operand: number): Parameter {
    const input = node.inputs[operand];
    const parameter = input.op === "get_attr" ? this.#parameters.get(input.targetName) : undefined;
    if (parameter && input.users.size === 1) return parameter;
    const found = parameter ? `${input.targetName} is used in several places` : `operand ${operand} is computed`;
    throw new RecipeError(
      `${where(node)}: ${found}, expected a parameter of its own. The model cannot be rotated here.`,
    );
  }
}

/** How a node's operator treats a rotation; undefined if none survives it. */
export function basisRule({ target }: Node): BasisRule | undefined {
  return isOperator(target) ? target.basis : undefined;
}

/** The operands of a node that are rotated with its result. */
export function carriedOperands(node: Node): readonly number[] {
  const rule = basisRule(node);
  return rule?.kind === "carries" ? rule.operands(node.inputs.map((input) => input.tensorType)) : [];
}

/** Which module's step a node is, for errors. */
export function where({ modulePath, targetName }: Node): string {
  return modulePath === "" ? targetName : `${modulePath} (${targetName})`;
}
