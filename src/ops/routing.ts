import type { Operand } from "../fx/traceable.ts";
import { f32, i64 } from "../fx/types.ts";
import { carriesBasis } from "./basis.ts";
import { keepsFirstFactors, readsNoValues } from "./column-factors.ts";
import { int64, scalar } from "./constants.ts";
import { type OnnxExpression, type OnnxInput, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/**
 * The `topK` experts of each token by softmax of the router's logits [batch, seq, experts]: a pair of their weights
 * F32[batch, seq, topK], which add up to 1 if `normalize`, and their indices I64[batch, seq, topK].
 * Mixture of experts (arXiv:2101.03961); the softmax is over all experts.
 */
export const routeTokens = defineOp<[logits: Operand], { topK: number; normalize: boolean }>({
  name: "route_tokens",
  infer([logits], { topK }) {
    const [batch, seq, experts] = logits.shape;
    if (logits.shape.length !== 3 || typeof experts !== "number" || experts < topK)
      throw mismatch("route_tokens", logits, `logits [batch, seq, experts] for at least ${topK} experts`);
    return { elements: [f32(batch, seq, topK), i64(batch, seq, topK)] };
  },
  lower([logits], { topK, normalize }) {
    const softmax = onnx("Softmax", [logits], { axis: -1 });
    const best = { ...onnx("TopK", [softmax, int64(topK)], { axis: -1 }), results: 2 };
    const total = onnx("ReduceSum", [best, int64(-1)], { keepdims: 1 });
    return [normalize ? onnx("Div", [best, total]) : best, onnx("Identity", [{ of: best, result: 1 }])];
  },
});

/** The tokens of `experts` [batch, seq, topK] that go to one expert: I64[2, n] of token indices and positions among topK. */
export const routedTo = defineOp<[experts: Operand], { expert: number }>({
  name: "routed_to",
  infer([experts], { expert }) {
    if (experts.dtype !== "I64" || experts.shape.length !== 3)
      throw mismatch("routed_to", experts, "expert indices I64[batch, seq, topK]");
    return i64(2, `routed_${expert}`);
  },
  lower: ([experts], { expert }) => onnx("NonZero", [onnx("Equal", [rows(experts), scalar("I64", expert)])]),
});

/** The rows of x [batch, seq, width] that {@link routedTo} names: [n, width]. */
export const gatherRouted = defineOp<[x: Operand, routed: Operand]>({
  name: "gather_routed",
  infer: ([x, routed]) => f32(routed.shape[1], x.shape.at(-1) as number),
  lower: ([x, routed]) => onnx("Gather", [rows(x), tokensOf(routed)], { axis: 0 }),
  columns: keepsFirstFactors,
  basis: carriesBasis(0),
});

/** Adds to the rows of `sum` [batch, seq, width] what one expert made of them, [n, width], times its weight for each. */
export const addRouted = defineOp<[sum: Operand, made: Operand, weights: Operand, routed: Operand]>({
  name: "add_routed",
  infer([sum, made, weights]) {
    if (made.shape.at(-1) !== sum.shape.at(-1)) throw mismatch("add_routed", made, `${sum.shape.at(-1)} columns`);
    if (weights.shape.length !== 3) throw mismatch("add_routed", weights, "weights [batch, seq, topK]");
    return sum;
  },
  lower([sum, made, weights, routed]) {
    const weight = weightsOf(weights, routed);
    const tokens = onnx("Unsqueeze", [tokensOf(routed), int64(-1)]);
    const added = onnx("ScatterND", [rows(sum), tokens, onnx("Mul", [made, weight])], { reduction: "add" });
    return onnx("Reshape", [added, onnx("Shape", [sum])]);
  },
  basis: carriesBasis(0, 1),
});

/** What one expert made of its tokens, [n, width], in size: ‖made‖₂ of each token times its weight for the expert, F32[n, 1]. */
export const shareOfRouted = defineOp<[made: Operand, weights: Operand, routed: Operand]>({
  name: "share_of_routed",
  infer([made, weights]) {
    if (weights.shape.length !== 3) throw mismatch("share_of_routed", weights, "weights [batch, seq, topK]");
    return f32(made.shape[0], 1);
  },
  lower([made, weights, routed], _, [{ shape }]) {
    // a product and no reduction: ONNX Runtime reduces no rows to a wrong shape
    const ones = onnx("Expand", [scalar("F32", 1), int64(shape.at(-1) as number, 1)]);
    const norm = onnx("Sqrt", [onnx("MatMul", [onnx("Mul", [made, made]), ones])]);
    return onnx("Mul", [norm, weightsOf(weights, routed)]);
  },
});

/** Zeros of the shape and dtype of x. */
export const zerosLike = defineOp<[x: Operand]>({
  name: "zeros_like",
  infer: ([x]) => x,
  lower: ([x]) => onnx("Expand", [scalar("F32", 0), onnx("Shape", [x])]),
  columns: readsNoValues,
  basis: { kind: "zeros" },
});

/** [batch, seq, width] as [batch · seq, width]. */
function rows(x: OnnxInput): OnnxExpression {
  return onnx("Flatten", [x], { axis: 2 });
}

/** The weights [batch, seq, topK] that the tokens of {@link routedTo} have for its expert: [n, 1]. */
function weightsOf(weights: OnnxInput, routed: OnnxInput): OnnxExpression {
  const index = onnx("Transpose", [routed], { perm: [1, 0] }); // [n, 2]
  return onnx("Unsqueeze", [onnx("GatherND", [rows(weights), index]), int64(-1)]);
}

/** The token indices of {@link routedTo}: [n]. */
function tokensOf(routed: OnnxInput): OnnxExpression {
  return onnx("Gather", [routed, scalar("I64", 0)], { axis: 0 });
}
