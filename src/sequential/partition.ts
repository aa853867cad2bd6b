import { TraceError } from "../errors.ts";
import { type Graph, graphIsWellFormed } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";

/** Where a part ends: before a target (the newer rule of the reference) or after one (its rule of July 2025). */
export type BoundaryRule = "target-opens" | "target-closes";

/** How a graph is cut. */
export interface PartitionOptions {
  /** Targets in one part. 1. */
  readonly targetsPerSubgraph?: number;
  /** Whether a target begins a part, or ends one. "target-opens". */
  readonly boundary?: BoundaryRule;
  /** Whether targets that read the same value count as one, and so come to lie in one part. False. */
  readonly shareInputs?: boolean;
}

/**
 * Cuts a graph into parts that can run one after another, with `targetsPerSubgraph` targets in each.
 * Nodes come in order of readiness, breadth first. Follows `topological_partition`.
 *
 * @param targets - nodes that call a target: see findTargetNodes
 * @param together - nodes that must lie in one part: a cut that would part them moves to before the first of them
 * @returns parts of nodes; a get_attr node is in the earliest part that reads it, the output node in the last
 */
export function topologicalPartition(
  graph: Graph,
  targets: ReadonlySet<Node>,
  { targetsPerSubgraph = 1, boundary = "target-opens", shareInputs = false }: PartitionOptions = {},
  together: readonly ReadonlySet<Node>[] = [],
): Node[][] {
  if (!(Number.isInteger(targetsPerSubgraph) && targetsPerSubgraph >= 1)) {
    throw new TraceError(`targetsPerSubgraph: ${targetsPerSubgraph}, expected an integer of at least one.`);
  }
  if (!graphIsWellFormed(graph))
    throw new TraceError("graph: users and inputs disagree, expected a well-formed graph.");
  const order = [...inOrderOfReadiness(graph)];
  const groups = groupTargets(order, targets, shareInputs);
  const cuts = cutsBetween(groups, targetsPerSubgraph, boundary);
  const wanted = shareInputs ? narrowed(order, targets, cuts) : cuts;
  const parts = cut(order, moveCuts(wanted, [...groups, ...spansOf(order, together)]));
  if (graph.outputNode) parts[parts.length - 1].push(graph.outputNode);
  for (const node of graph.nodes.filter(isAttribute).toReversed()) {
    // one that nobody reads is left out
    parts.find((nodes) => nodes.some((reader) => node.users.has(reader)))?.unshift(node);
  }
  return parts;
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

/** Places of nodes in the order, the first to the last of some that belong together. */
interface Span {
  readonly first: number;
  readonly last: number;
}

/** The targets in order; with `shareInputs`, those one after another that read the same value are one. */
function groupTargets(order: readonly Node[], targets: ReadonlySet<Node>, shareInputs: boolean): Span[] {
  const groups: Span[] = [];
  for (const [place, node] of order.entries()) {
    if (!targets.has(node)) continue;
    const before = groups.at(-1);
    const joins = before && shareInputs && order[before.last].inputs[0] === node.inputs[0];
    if (joins) groups[groups.length - 1] = { first: before.first, last: place };
    else groups.push({ first: place, last: place });
  }
  return groups;
}

function spansOf(order: readonly Node[], together: readonly ReadonlySet<Node>[]): Span[] {
  return together.flatMap((nodes) => {
    const places = [...order.keys()].filter((place) => nodes.has(order[place]));
    return places.length > 0 ? [{ first: places[0], last: places[places.length - 1] }] : [];
  });
}

/** The places that begin a part. What comes before the first target is a part of its own where targets open parts. */
function cutsBetween(groups: readonly Span[], perPart: number, boundary: BoundaryRule): number[] {
  if (boundary === "target-opens") return groups.filter((_, index) => index % perPart === 0).map(({ first }) => first);
  return groups.filter((_, index) => (index + 1) % perPart === 0).map(({ last }) => last + 1);
}

/**
 * Each cut moved back to where the fewest values cross it, past no target: to before a norm whose input is read again later, say.
 * What crosses is stored for every batch.
 */
function narrowed(order: readonly Node[], targets: ReadonlySet<Node>, cuts: readonly number[]): number[] {
  const crossing = valuesCrossing(order);
  return cuts.map((wanted) => {
    let first = wanted;
    while (first > 0 && !targets.has(order[first - 1])) first--;
    let best = wanted;
    for (let place = wanted; first > 0 && place >= first; place--) if (crossing[place] < crossing[best]) best = place;
    return best;
  });
}

/** How many values are read at or after each place that were made before it. */
function valuesCrossing(order: readonly Node[]): number[] {
  const placeOf = new Map([...order.entries()].map(([place, node]) => [node, place]));
  const changes = new Array<number>(order.length + 1).fill(0);
  for (const [place, node] of order.entries()) {
    const last = [...node.users].reduce((most, user) => Math.max(most, placeOf.get(user) ?? order.length), place);
    changes[place + 1] += 1;
    if (last < order.length) changes[last + 1] -= 1;
  }
  let crossing = 0;
  return changes.map((change) => (crossing += change));
}

/** Cuts that part nothing that belongs together: each at the nearest place before the wanted one. */
function moveCuts(wanted: readonly number[], spans: readonly Span[]): Set<number> {
  const parted = (place: number) => spans.find(({ first, last }) => first < place && place <= last);
  return new Set(
    wanted.map((place) => {
      for (let span = parted(place); span; span = parted(place)) place = span.first;
      return place;
    }),
  );
}

function cut(order: readonly Node[], places: ReadonlySet<number>): Node[][] {
  const starts = [...new Set([0, ...places])].sort((a, b) => a - b);
  return starts.map((start, index) => order.slice(start, starts[index + 1]));
}
