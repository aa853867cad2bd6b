import type { Graph } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";
import { type TensorType, tensorTypes } from "../fx/types.ts";
import type { Batch } from "../sequential/intermediates.ts";
import { byteSize } from "../tensor/dtype.ts";
import { elementCount } from "../tensor/tensor.ts";

/** What the named dimensions of a graph are in one run. */
export type Sizes = ReadonlyMap<string, number>;

/** The named dimensions of a batch's tensors, [batch, seq]. */
export function sizesOf(batch: Batch): Sizes {
  const [rows, tokens] = Object.values(batch)[0].shape;
  return new Map([
    ["batch", rows],
    ["seq", tokens],
  ]);
}

/**
 * Adds the dimensions that only a run decides, such as the tokens that are routed to an expert: nodes that make such
 * dimensions of one value are taken to share out its elements equally. Of what grows from run to run, nothing is there yet.
 */
export function completeSizes(graph: Graph, known: Sizes): Sizes {
  const sizes = new Map(known);
  for (const node of graph.placeholders) for (const name of unknownDims(node, sizes)) sizes.set(name, 0);
  for (const node of graph.nodes) {
    for (const name of unknownDims(node, sizes)) {
      const [source] = node.inputs;
      const sharers = new Set([...source.users].flatMap((user) => unknownDims(user, known)));
      sizes.set(name, Math.ceil(elementCount(shapeOf(source.tensorType, sizes)) / Math.max(1, sharers.size)));
    }
  }
  return sizes;
}

/** A shape with its named dimensions filled in. */
export function shapeOf({ shape }: TensorType, sizes: Sizes): number[] {
  return shape.map((dim) => (typeof dim === "number" ? dim : (sizes.get(dim) ?? 0)));
}

/** Bytes of a node's value, be it one tensor or several. */
export function bytesOf(node: Node, sizes: Sizes): number {
  return tensorTypes(node.type).reduce(
    (sum, type) => sum + byteSize(type.dtype) * elementCount(shapeOf(type, sizes)),
    0,
  );
}

function unknownDims(node: Node, sizes: Sizes): string[] {
  const dims = tensorTypes(node.type).flatMap(({ shape }) => shape);
  return dims.filter((dim): dim is string => typeof dim === "string" && !sizes.has(dim));
}
