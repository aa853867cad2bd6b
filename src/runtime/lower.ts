import { ExecutionError } from "../errors.ts";
import { getitem } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";
import { tensorTypes } from "../fx/types.ts";
import type { OnnxExpression, OnnxValue } from "../ops/onnx.ts";
import { isOperator } from "../ops/operator.ts";
import { OnnxWriter } from "./onnx-writer.ts";

/** One tensor of a value: values that are tuples have several. */
interface Slot {
  readonly node: Node;
  readonly index: number;
}

/** A compiled part of a graph as an ONNX model, and which values its inputs and outputs are, in order. */
export interface LoweredModel {
  readonly model: Uint8Array;
  /** What was lowered: ONNX nodes made from the node at position 3 have names that begin with `n3:`. */
  readonly nodes: readonly Node[];
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
}

/**
 * Lowers nodes to one ONNX model. Everything they read from elsewhere, weights included, is an input, and names follow
 * from the order alone, so that equal layers give equal bytes.
 *
 * @param nodes - call_function nodes of operators, in graph order
 * @param wanted - nodes among them whose values are read elsewhere
 */
export function lowerNodes(nodes: readonly Node[], wanted: readonly Node[]): LoweredModel {
  const writer = new OnnxWriter();
  const names = new Map<Node, string[]>();
  const inputs: Slot[] = [];
  const own = new Set(nodes);

  const declareInput = (node: Node): string[] =>
    tensorTypes(node.type).map((type, index) => {
      const name = `i${inputs.length}`;
      writer.input(name, type);
      inputs.push({ node, index });
      return name;
    });
  const namesOf = (node: Node): string[] => {
    const known = names.get(node);
    if (known) return known;
    if (own.has(node))
      throw new ExecutionError(`%${node.name}: read before it is made, expected nodes in graph order.`);
    const declared = declareInput(node);
    names.set(node, declared);
    return declared;
  };

  for (const [position, node] of nodes.entries()) {
    names.set(node, lowerNode(node, node.inputs.map(namesOf), writer, `n${position}`));
  }
  const outputs = wanted.flatMap((node) => tensorTypes(node.type).map((_, index): Slot => ({ node, index })));
  for (const [position, { node, index }] of outputs.entries()) {
    writer.output(`o${position}`, tensorTypes(node.type)[index], namesOf(node)[index]);
  }
  return { model: writer.finish(), nodes, inputs, outputs };
}

/** Emits one node; returns the names of its tensors. */
function lowerNode(node: Node, inputs: readonly string[][], writer: OnnxWriter, label: string): string[] {
  if (node.target === getitem) return [inputs[0][node.attrs.index as number]];
  const values = inputs.map(([value]) => ({ value }));
  return lowerOperator(node, values).map((expression) => writer.emit(expression, label));
}

/** What a node of an operator is in ONNX: an expression for each of its tensors, over its inputs' values. */
export function lowerOperator(node: Node, values: readonly OnnxValue[]): readonly OnnxExpression[] {
  if (!isOperator(node.target)) {
    throw new ExecutionError(`%${node.name}: ${node.targetName} has no lowering, expected an operator.`);
  }
  const types = node.inputs.map((input) => input.tensorType);
  const lowered = node.target.lower(values, node.attrs, types);
  return Array.isArray(lowered) ? lowered : [lowered as OnnxExpression];
}
