import { type Graph, getitem } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";
import { isOperator } from "../ops/operator.ts";
import { bytesOf, completeSizes, type Sizes, shapeOf } from "./sizes.ts";

/** What it takes to run an inlined graph once. */
export interface GraphCost {
  /** Of matrix products. */
  readonly multiplyAdds: number;
  /** Bytes that are read and written by all other operators. */
  readonly bytesMoved: number;
  /** The most bytes that values and operators take at one time, parameters and inputs left out. */
  readonly peakBytes: number;
}

/** Counts the work and the memory of one run, operator by operator. */
export function graphCost(graph: Graph, known: Sizes): GraphCost {
  const sizes = completeSizes(graph, known);
  const lastReader = new Map(graph.nodes.flatMap((node) => node.inputs.map((input) => [input, node] as const)));
  let [multiplyAdds, bytesMoved, live, peakBytes] = [0, 0, 0, 0];
  for (const node of graph.nodes) {
    if (node.op !== "call_function" || node.target === getitem) continue;
    const { multiplyAdds: products = 0, scratchBytes = 0 } = costOf(node, sizes);
    const made = bytesOf(node, sizes);
    multiplyAdds += products;
    bytesMoved += 2 * scratchBytes + (products > 0 ? 0 : bytesMovedBy(node, made, sizes));
    live += made;
    peakBytes = Math.max(peakBytes, live + scratchBytes);
    for (const input of new Set(node.inputs)) {
      if (input.op === "call_function" && input.target !== getitem && lastReader.get(input) === node)
        live -= bytesOf(input, sizes);
    }
  }
  return { multiplyAdds, bytesMoved, peakBytes };
}

function costOf({ target, inputs, attrs }: Node, sizes: Sizes) {
  const cost = isOperator(target) ? target.cost : undefined;
  return (
    cost?.(
      inputs.map((input) => shapeOf(input.tensorType, sizes)),
      attrs,
    ) ?? { multiplyAdds: 0 }
  );
}

/** The result and all inputs; of a table that rows are picked from, as much as is picked. */
function bytesMovedBy(node: Node, made: number, sizes: Sizes): number {
  return node.inputs.reduce((sum, input) => {
    const bytes = bytesOf(input, sizes);
    return sum + (input.op === "get_attr" ? Math.min(bytes, made) : bytes);
  }, made);
}
