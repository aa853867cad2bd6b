import { RecipeError } from "../../errors.ts";
import type { Node } from "../../fx/node.ts";
import type { Module } from "../../nn/module.ts";
import type { Parameter } from "../../nn/parameter.ts";
import { basisRule, carriedOperands, OperatorTrace, where } from "./trace.ts";

/** A weight that multiplies values of the stream, by one of its axes. */
interface StreamReader {
  readonly weight: Parameter;
  readonly axis: 0 | 1;
  readonly bias?: Parameter;
}

/** A norm between the stream and those that read it. */
export interface StreamNorm {
  readonly path: string;
  readonly weight: Parameter;
  readonly bias?: Parameter;
  /** What is added to the weight before it scales. */
  readonly offset: number;
  /** Whether it subtracts the mean. */
  readonly centres: boolean;
  readonly readers: StreamReader[];
}

/** All parameters that touch the values that are passed from layer to layer. */
export interface ResidualStream {
  readonly width: number;
  /** The axis of each parameter that is in the basis of the stream: of what is added to it, and of what reads it. */
  readonly axes: ReadonlyMap<Parameter, 0 | 1>;
  readonly norms: readonly StreamNorm[];
}

/**
 * Finds, in a trace of the model down to its operators, what must be rotated along if the embeddings are, and the norms whose
 * scales must move into the weights that follow them first. No table of families: the trace is all there is to know.
 *
 * @throws RecipeError naming a module that no rotation of its input, or of its result, can be moved through
 */
export function findResidualStream(model: Module): ResidualStream {
  return new StreamFinder(new OperatorTrace(model)).find();
}

class StreamFinder {
  /** Values in the stream's basis, each with the norm whose scale is still in it. */
  readonly #values = new Map<Node, StreamNorm | undefined>();
  readonly #axes = new Map<Parameter, 0 | 1>();
  readonly #norms = new Map<Node, StreamNorm>();
  readonly #pending: Node[] = [];

  constructor(private readonly trace: OperatorTrace) {}

  find(): ResidualStream {
    const tables = this.trace.graph.nodes.filter((node) => basisRule(node)?.kind === "looksUp");
    if (tables.length === 0) throw new RecipeError("no embedding is looked up, expected a model that begins with one.");
    for (const table of tables) this.#enter(table, undefined);
    for (let node = this.#pending.pop(); node; node = this.#pending.pop()) {
      this.#visitProducer(node);
      for (const user of node.users) this.#visitUser(user, node);
    }
    return { width: tables[0].shape.at(-1) as number, axes: this.#axes, norms: [...this.#norms.values()] };
  }

  #enter(node: Node, norm: StreamNorm | undefined): void {
    if (!this.#values.has(node)) {
      this.#values.set(node, norm);
      this.#pending.push(node);
    } else if (this.#values.get(node) !== norm) {
      throw new RecipeError(
        `${norm?.path ?? where(node)}: its scale reaches ${where(node)} together with values that it has not scaled, ` +
          "expected weights alone to read a norm. Leave R1 out of rotations.",
      );
    }
  }

  /** What makes a value of the stream must make it in the stream's basis. */
  #visitProducer(node: Node): void {
    const rule = basisRule(node);
    const norm = this.#values.get(node);
    if (rule?.kind === "zeros" || (rule?.kind === "norms" && norm && norm === this.#norms.get(node))) return;
    if (rule?.kind === "looksUp") this.#rotate(node, 1, 1);
    else if (rule?.kind === "multiplies") {
      this.#rotate(node, 1, rule.reads === 1 ? 0 : 1);
      if (rule.bias !== undefined) this.#rotate(node, rule.bias, 0);
    } else if (rule?.kind === "norms") {
      throw new RecipeError(
        `${node.modulePath}: scales what is added to the residual stream, expected norms that weights read. ` +
          "Leave R1 out of rotations.",
      );
    } else {
      const operands = carriedOperands(node);
      if (operands.length === 0) throw this.#blocked(node, "makes a value of the residual stream");
      for (const operand of operands) this.#enter(node.inputs[operand], norm);
    }
  }

  #visitUser(user: Node, node: Node): void {
    const rule = basisRule(user);
    const norm = this.#values.get(node);
    const operands = user.inputs.flatMap((input, operand) => (input === node ? [operand] : []));
    if (rule?.kind === "zeros") return;
    if (rule?.kind === "norms" && norm === undefined && String(operands) === "0") this.#enter(user, this.#norm(user));
    else if (rule?.kind === "multiplies" && String(operands) === "0") {
      this.#rotate(user, 1, rule.reads);
      const bias = rule.bias === undefined ? undefined : this.trace.parameter(user, rule.bias);
      norm?.readers.push({ weight: this.trace.parameter(user, 1), axis: rule.reads, bias });
    } else {
      const carried = carriedOperands(user);
      if (operands.some((operand) => !carried.includes(operand)))
        throw this.#blocked(user, "reads the residual stream");
      this.#enter(user, norm);
    }
  }

  #norm(node: Node): StreamNorm {
    const rule = basisRule(node);
    if (rule?.kind !== "norms") throw this.#blocked(node, "reads the residual stream");
    const { offset, centres } = rule;
    const weight = this.trace.parameter(node, 1);
    const bias = rule.bias === undefined ? undefined : this.trace.parameter(node, rule.bias);
    const norm = this.#norms.get(node) ?? { path: node.modulePath, weight, bias, offset, centres, readers: [] };
    this.#norms.set(node, norm);
    return norm;
  }

  #rotate(node: Node, operand: number, axis: 0 | 1): void {
    const parameter = this.trace.parameter(node, operand);
    const known = this.#axes.get(parameter);
    if (known === undefined) this.#axes.set(parameter, axis);
    else if (known !== axis) throw this.#blocked(node, "has a weight whose both sides are in the residual stream");
  }

  #blocked(node: Node, what: string): RecipeError {
    return new RecipeError(
      `${node.op === "output" ? "the model's output" : where(node)}: ${what} in a way that changes with its basis, ` +
        "expected sums, norms and weights. Leave R1 out of rotations.",
    );
  }
}
