import type { Graph } from "../../fx/graph.ts";
import { getitem } from "../../fx/graph.ts";
import type { FunctionTarget, Node } from "../../fx/node.ts";
import { gelu, geluTanh, relu, sigmoid, softCap } from "../../ops/activation.ts";
import { affine } from "../../ops/affine.ts";
import { add, mul, scale, silu } from "../../ops/arithmetic.ts";
import { columns, mergeHeads, splitHeads } from "../../ops/heads.ts";
import { embedding, linear, linearBias } from "../../ops/linear.ts";
import { layerNorm, offsetRmsNorm, rmsNorm } from "../../ops/norm.ts";
import { rotate } from "../../ops/rotary.ts";
import { cachedAttention, lastTokens } from "./cached-attention.ts";

/** Operators that are computed in float16; all others (angles, masks, routing) need more digits, or cost nothing. */
const HALF_OPERATORS: ReadonlySet<string | FunctionTarget> = new Set(
  [
    ...[linear, linearBias, affine, embedding, add, mul, scale, silu, gelu, geluTanh, relu, sigmoid, softCap],
    ...[rmsNorm, offsetRmsNorm, layerNorm, rotate, splitHeads, mergeHeads, columns, lastTokens, cachedAttention],
  ].map(({ operator }) => operator),
);

/** A quarter of the largest float16: a few samples do not show the largest values there are. */
const LARGEST_SAFE = 65_504 / 4;

/** The largest magnitude of a node's values; undefined where it is not known. */
export type MagnitudeOf = (node: Node) => number | undefined;

/** Which nodes of a decoder are computed in float16. */
export interface Precision {
  readonly half: ReadonlySet<Node>;
  /** Nodes that could be, but whose values, or those that they read, are too large for it. */
  readonly kept: readonly Node[];
}

/** Everything in float32. */
export const FULL_PRECISION: Precision = { half: new Set(), kept: [] };

/** Everything in float16 but what passes its limit, by the magnitudes that were seen; nodes that share a weight share a type. */
export function halfPrecision(graph: Graph, magnitudeOf: MagnitudeOf): Precision {
  const candidates = graph.nodes.filter(({ target }) => HALF_OPERATORS.has(target));
  const isLarge = (node: Node) => (magnitudeOf(sourceOf(node)) ?? 0) > LARGEST_SAFE;
  const kept = new Set(candidates.filter((node) => [node, ...node.inputs].some(isLarge)));
  for (const { op, users } of graph.nodes) {
    if (op === "get_attr" && [...users].some((user) => kept.has(user))) for (const user of users) kept.add(user);
  }
  return {
    half: new Set(candidates.filter((node) => !kept.has(node))),
    kept: candidates.filter((node) => kept.has(node)),
  };
}

function sourceOf(node: Node): Node {
  return node.target === getitem ? node.inputs[0] : node;
}
