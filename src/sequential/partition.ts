import { TraceError } from "../errors.ts";
import { type Graph, graphIsWellFormed } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";

/** Where a part ends: before a target (the newer rule of the reference) or after one (its rule of July 2025). */
export type BoundaryRule = "target-opens" | "target-closes";

/** How a graph is cut. */
export interface PartitionOptions {
  readonly targetsPerSubgraph?: number;
  readonly boundary?: BoundaryRule;
  /** Whether targets that read the same value count as one, and so come to lie in one part. False. */
  readonly shareInputs?: boolean;
}

/**
 * Cuts a graph into parts that can run one after another, with `targetsPerSubgraph` targets in each.
 * Nodes come in order of readiness, breadth first. Follows `topological_partition`.
 *
 * @param targets - nodes that call a target: see findTargetNodes
 * @returns parts of nodes; a get_attr node is in the earliest part that reads it, the output node in the last
 */
export function topologicalPartition(
  graph: Graph,
  targets: ReadonlySet<Node>,
  { targetsPerSubgraph = 1, boundary = "target-opens", shareInputs = false }: PartitionOptions = {},
): Node[][] {
  if (!(Number.isInteger(targetsPerSubgraph) && targetsPerSubgraph >= 1)) {
    throw new TraceError(`targetsPerSubgraph: ${targetsPerSubgraph}, expected an integer of at least one.`);
  }
  if (!graphIsWellFormed(graph))
    throw new TraceError("graph: users and inputs disagree, expected a well-formed graph.");
  const parts = new Parts(targets, targetsPerSubgraph, boundary, shareInputs);
  for (const node of inOrderOfReadiness(graph)) parts.add(node);
  if (graph.outputNode) parts.addLast(graph.outputNode);
  for (const node of graph.nodes.filter(isAttribute).toReversed()) parts.prependToFirstReader(node);
  return parts.nodes;
}

function isAttribute(node: Node): boolean {
  return node.op === "get_attr";
}

/** Calls and placeholders, each after its inputs; among those that are ready, first come, first served. */
function* inOrderOfReadiness(graph: Graph): Generator<Node> {
  const ordered = graph.nodes.filter((node) => !isAttribute(node) && node.op !== "output");
  const waiting = new Map(
    ordered.map((node) => [node, node.allInputNodes.filter((input) => !isAttribute(input)).length]),
  );
  const ready = ordered.filter((node) => waiting.get(node) === 0);
  for (const node of ready) {
    yield node;
    for (const user of node.users) {
      const left = (waiting.get(user) ?? 0) - 1;
      waiting.set(user, left);
      if (left === 0 && user.op !== "output") ready.push(user);
    }
  }
  if (ready.length < ordered.length) throw new TraceError("graph: some nodes wait for one another, expected no cycle.");
}

/** The parts while they fill up. */
class Parts {
  readonly nodes: Node[][] = [[]];
  #targetsInPart = 0;
  #lastTarget?: Node;

  constructor(
    private readonly targets: ReadonlySet<Node>,
    private readonly targetsPerSubgraph: number,
    private readonly boundary: BoundaryRule,
    private readonly shareInputs: boolean,
  ) {}

  add(node: Node): void {
    const isTarget = this.targets.has(node) && !this.#joinsLastTarget(node);
    if (isTarget && this.boundary === "target-opens" && this.#isFullOrHead()) this.#open();
    this.#last.push(node);
    if (!isTarget) return;
    this.#lastTarget = node;
    this.#targetsInPart++;
    if (this.boundary === "target-closes" && this.#targetsInPart === this.targetsPerSubgraph) this.#open();
  }

  addLast(node: Node): void {
    this.#last.push(node);
  }

  /** Attributes that nobody reads are left out. */
  prependToFirstReader(node: Node): void {
    const part = this.nodes.find((nodes) => nodes.some((reader) => node.users.has(reader)));
    part?.unshift(node);
  }

  get #last(): Node[] {
    return this.nodes[this.nodes.length - 1];
  }

  #joinsLastTarget(node: Node): boolean {
    return this.shareInputs && this.#lastTarget !== undefined && node.inputs[0] === this.#lastTarget.inputs[0];
  }

  /** What comes before the first target is a part of its own. */
  #isFullOrHead(): boolean {
    const isHead = this.nodes.length === 1 && this.#targetsInPart === 0 && this.#last.length > 0;
    return isHead || this.#targetsInPart >= this.targetsPerSubgraph;
  }

  #open(): void {
    this.nodes.push([]);
    this.#targetsInPart = 0;
  }
}
