import type { Graph } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";
import { embedding } from "../ops/linear.ts";

/**
 * Nodes that pick rows of a parameter which nothing else reads, by ids that are given to the graph: of such a table only the
 * rows that occur need to be in memory. A table of 128,256 tokens is 2.1 GB in F32.
 */
export function findRowLookups(graph: Graph): Node[] {
  return graph.nodes.filter(isLookup).filter((node) => [...node.inputs[1].users].every(isLookup));
}

/** Nodes of the parameters that have to be in memory as a whole before a graph can be run. */
export function parametersReadWhole(graph: Graph): Node[] {
  const tables = new Set(findRowLookups(graph).map(({ inputs: [, table] }) => table));
  return graph.nodes.filter((node) => node.op === "get_attr" && !tables.has(node));
}

function isLookup({ target, inputs: [ids, table] }: Node): boolean {
  return target === embedding.operator && ids.op === "placeholder" && table.op === "get_attr";
}
