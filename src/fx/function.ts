import type { Tensor } from "../tensor/tensor.ts";
import type { FunctionTarget, Node } from "./node.ts";
import { recorderOf } from "./recorder.ts";
import type { Operand } from "./traceable.ts";
import type { ValueType } from "./types.ts";

/** A function of graph values that is traced through like a forward, or, where a trace ignores it, is one node. */
interface CompositeFunction extends FunctionTarget {
  readonly body: (...inputs: Node[]) => Node;
}

/** A function on concrete tensors that runs as plain JavaScript between the compiled parts of a graph. */
interface OpaqueFunction extends FunctionTarget {
  readonly run: (...inputs: Tensor[]) => Tensor | Promise<Tensor>;
}

/** Narrows a call's target to a composite function. */
export function isComposite(target: FunctionTarget | string): target is CompositeFunction {
  return typeof target !== "string" && "body" in target;
}

/** Narrows a call's target to an opaque function. */
export function isOpaque(target: FunctionTarget | string): target is OpaqueFunction {
  return typeof target !== "string" && "run" in target;
}

/**
 * Names a function of graph values, so that a trace can be told to `ignore` it: then it is recorded as one node, and
 * traced through only before it is run.
 */
export function defineFunction<Inputs extends readonly Node[]>(
  name: string,
  body: (...inputs: Inputs) => Node,
): (...inputs: Inputs) => Node {
  const target: CompositeFunction = {
    name,
    body: body as unknown as CompositeFunction["body"],
    infer: () => {
      throw new TypeError(`${name}: a composite function has the type of its traced body`);
    },
  };
  return (...inputs) => recorderOf(name, inputs).callFunction(target, inputs, {});
}

/**
 * Makes a function on concrete tensors callable in a forward: it is recorded as one opaque node.
 *
 * @param name - how the node is called in graphs
 * @param infer - type of the result for inputs of given types
 * @param run - the function itself, on typed arrays; it may be asynchronous and must not change its inputs
 * @example
 * const reverse = wrap("reverse", ([x]) => x, (x) => new Tensor("F32", x.shape, x.data.toReversed()));
 */
export function wrap(
  name: string,
  infer: (inputs: readonly ValueType[]) => ValueType,
  run: (...inputs: Tensor[]) => Tensor | Promise<Tensor>,
): (...inputs: Operand[]) => Node {
  const target: OpaqueFunction = { name, infer, run };
  return (...inputs) => recorderOf(name, inputs).callFunction(target, inputs, {});
}
