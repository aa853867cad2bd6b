import { isOpaque } from "../fx/function.ts";
import type { Graph } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";

/** Nodes that run together as one compiled model, and the opaque calls that run after it. */
interface Segment {
  readonly compiled: readonly Node[];
  readonly opaque: readonly Node[];
}

/**
 * Cuts a graph of operators at its opaque nodes: an operator runs in the first segment after every opaque call that it
 * depends on. A graph without opaque nodes is one segment.
 *
 * @param known - nodes whose values are there before anything is run
 */
export function splitAtOpaque(graph: Graph, known: ReadonlySet<Node> = new Set()): Segment[] {
  const segments: { compiled: Node[]; opaque: Node[] }[] = [];
  const levels = new Map<Node, number>();
  for (const node of graph.nodes) {
    if (node.op !== "call_function" || known.has(node)) continue;
    const opaque = isOpaque(node.target);
    const level = Math.max(0, ...node.inputs.map((input) => levelAfter(input, levels, opaque)));
    levels.set(node, level);
    segments[level] ??= { compiled: [], opaque: [] };
    segments[level][opaque ? "opaque" : "compiled"].push(node);
  }
  return segments;
}

/** The first level at which `input` can be read; an opaque call reads another of its own level. */
function levelAfter(input: Node, levels: ReadonlyMap<Node, number>, readerIsOpaque: boolean): number {
  const level = levels.get(input) ?? 0;
  return isOpaque(input.target) && !readerIsOpaque ? level + 1 : level;
}
