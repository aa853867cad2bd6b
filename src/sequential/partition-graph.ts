import { TraceError } from "../errors.ts";
import { Graph } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";
import type { Module } from "../nn/module.ts";
import { Subgraph } from "./subgraph.ts";

/**
 * Makes each part a closed graph: values of earlier parts become placeholders in the order of their first use, and what
 * later parts read is returned by name. Attributes are read again in every part that uses them. Follows `partition_graph`.
 */
export function partitionGraph(model: Module, partitions: readonly (readonly Node[])[]): Subgraph[] {
  return partitions.filter((nodes) => nodes.length > 0).map((nodes) => new Subgraph(model, closeGraph(nodes)));
}

function closeGraph(nodes: readonly Node[]): Graph {
  const graph = new Graph();
  const own = new Set(nodes);
  const copies = new Map<Node, Node>();
  const copyOf = (input: Node): Node => {
    const known = copies.get(input);
    if (known) return known;
    if (own.has(input))
      throw new TraceError(`%${input.name}: read before it is made, expected parts in order of execution.`);
    const copy = input.op === "get_attr" ? graph.copyNode(input, []) : graph.placeholder(input.name, input.type);
    copies.set(input, copy);
    return copy;
  };
  for (const node of nodes) copies.set(node, graph.copyNode(node, node.inputs.map(copyOf)));
  if (!graph.outputNode) graph.output(escapingValues(nodes, own, copies));
  graph.lint();
  return graph;
}

/** Copies of the nodes that some node outside the part reads, by name. */
function escapingValues(
  nodes: readonly Node[],
  own: ReadonlySet<Node>,
  copies: ReadonlyMap<Node, Node>,
): Record<string, Node> {
  const escaping = nodes.filter((node) => node.op !== "get_attr" && [...node.users].some((user) => !own.has(user)));
  return Object.fromEntries(escaping.map((node) => [node.name, copies.get(node) as Node]));
}
