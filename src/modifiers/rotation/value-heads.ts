import { RecipeError } from "../../errors.ts";
import type { Node } from "../../fx/node.ts";
import type { Module } from "../../nn/module.ts";
import type { Parameter } from "../../nn/parameter.ts";
import { isOperator } from "../../ops/operator.ts";
import { basisRule, OperatorTrace, where } from "./trace.ts";

/** Places along one axis of a parameter, head after head. */
interface HeadAxis {
  readonly parameter: Parameter;
  readonly axis: 0 | 1;
  /** `size` places for each head. */
  readonly places: Int32Array;
}

/** The parameters around one attention that hold the columns of its values' heads. */
export interface ValueHeads {
  readonly path: string;
  /** Columns of a head. */
  readonly size: number;
  readonly axes: readonly HeadAxis[];
}

/**
 * Finds, in a trace of the model down to its operators, what makes the values of each attention and what reads its result:
 * each head of the values can be rotated where weights alone do.
 *
 * @throws RecipeError naming an attention whose values or whose result something else reads
 */
export function findValueHeads(model: Module): ValueHeads[] {
  const trace = new OperatorTrace(model);
  const attentions = trace.graph.nodes.filter((node) => basisRule(node)?.kind === "attends");
  if (attentions.length === 0) throw new RecipeError("nothing attends, expected a model with attention.");
  return attentions.map((node) => {
    const { heads } = node.attrs as { heads: number };
    const size = (node.shape.at(-1) as number) / heads;
    return { path: node.modulePath, size, axes: [...madeBy(trace, node), ...readBy(trace, node)] };
  });
}

/** Where the columns of an attention's values lie in the weight that makes them, and in its bias. */
function madeBy(trace: OperatorTrace, attention: Node): HeadAxis[] {
  let [value, reader] = [attention.inputs[2], attention];
  let places = Int32Array.from({ length: value.shape.at(-1) as number }, (_, column) => column);
  for (;;) {
    const taken = new Set(places);
    const others = [...value.users].filter((user) => user !== reader);
    for (const other of others) if (readsAny(other, value, taken)) throw blocked(other, attention, "reads its values");
    const rule = basisRule(value);
    if (rule?.kind === "multiplies") {
      const weight = { parameter: trace.parameter(value, 1), axis: rule.reads === 1 ? 0 : 1, places } as const;
      if (rule.bias === undefined) return [weight];
      return [weight, { parameter: trace.parameter(value, rule.bias), axis: 0, places }];
    }
    const source = sourceOf(value);
    if (!source) throw blocked(value, attention, "makes its values");
    places = places.map(source);
    [value, reader] = [value.inputs[0], value];
  }
}

/** The weights that multiply an attention's result. */
function readBy(trace: OperatorTrace, attention: Node): HeadAxis[] {
  const places = Int32Array.from({ length: attention.shape.at(-1) as number }, (_, column) => column);
  return [...attention.users].map((user) => {
    const rule = basisRule(user);
    if (rule?.kind !== "multiplies") throw blocked(user, attention, "reads its result");
    return { parameter: trace.parameter(user, 1), axis: rule.reads, places };
  });
}

/** For an operator that takes columns as they are, the column of its operand that each of its own is. */
function sourceOf(node: Node): ((column: number) => number) | undefined {
  if (!isOperator(node.target) || basisRule(node)?.kind !== "selects") return undefined;
  const factors = node.target.columns?.factors?.(0, node.attrs, [node.inputs[0].tensorType]);
  return factors?.effect === "kept" ? factors.source : undefined;
}

function readsAny(user: Node, value: Node, columns: ReadonlySet<number>): boolean {
  const source = sourceOf(user);
  if (!source || user.inputs[0] !== value) return true;
  const count = user.shape.slice(2).reduce<number>((product, size) => product * Number(size), 1);
  return Array.from({ length: count }, (_, column) => source(column)).some((column) => columns.has(column));
}

function blocked(node: Node, attention: Node, what: string): RecipeError {
  return new RecipeError(
    `${attention.modulePath}: ${where(node)} ${what}, expected weights alone to. Leave R2 out of rotations.`,
  );
}
