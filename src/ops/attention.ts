import type { Operand } from "../fx/traceable.ts";
import { bool, i64, type TensorType } from "../fx/types.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import { type ColumnRules, readsNoValues } from "./column-factors.ts";
import { int64, ONNX_TYPE, scalar } from "./constants.ts";
import { float, type OnnxExpression, type OnnxInput, onnx } from "./onnx.ts";
import { type Cost, defineOp } from "./operator.ts";
import { checkTokens, headSize, mismatch } from "./shapes.ts";

/** 0, 1, … seq−1 for tokens of shape [batch, seq]: I64[1, seq], the same for every row, padded or not. */
export const positionIds = defineOp<[ids: Operand]>({
  name: "position_ids",
  infer([ids]) {
    checkTokens("position_ids", ids);
    return i64(1, ids.shape[1]);
  },
  lower: ([ids]) => onnx("Unsqueeze", [range(ids), int64(0)]),
  columns: readsNoValues,
});

/** A mask that hides nothing, for tokens of shape [batch, seq]. */
export const onesLike = defineOp<[ids: Operand]>({
  name: "ones_like",
  infer([ids]) {
    checkTokens("ones_like", ids);
    return ids;
  },
  lower: ([ids]) => onnx("Expand", [int64(1), onnx("Shape", [ids])]),
  columns: readsNoValues,
});

/**
 * Which keys each query sees: BOOL[batch, 1, seq, seq], true where key ≤ query, the key is no padding, and, with a sliding
 * window, query − key < window.
 */
export const causalMask = defineOp<[attentionMask: Operand], { window: number | null }>({
  name: "causal_mask",
  infer([mask]) {
    checkTokens("causal_mask", mask);
    const [batch, seq] = mask.shape;
    return bool(batch, 1, seq, seq);
  },
  lower([mask], { window }) {
    const key = onnx("Unsqueeze", [range(mask), int64(0)]); // [1, seq]
    const query = onnx("Unsqueeze", [range(mask), int64(1)]); // [seq, 1]
    const causal = onnx("LessOrEqual", [key, query]);
    const near = window === null ? causal : onnx("Less", [onnx("Sub", [query, key]), int64(window)]);
    const visible = window === null ? causal : onnx("And", [causal, near]);
    const token = onnx("Unsqueeze", [onnx("Cast", [mask], { to: ONNX_TYPE.BOOL }), int64(1, 2)]); // [batch, 1, 1, seq]
    return onnx("And", [visible, token]);
  },
});

/** Heads of an attention, and what is done to its scores. */
type AttentionAttributes = { heads: number; kvHeads: number; scale: number; softCap?: number };

/** How attention treats factors on columns. */
const valueColumns: ColumnRules = {
  /** A query's result is a mean of values: it keeps the factors of the value head that its own head reads. */
  factors(operand, attrs, [q]) {
    if (operand !== 2) return undefined;
    const { heads, kvHeads } = attrs as { heads: number; kvHeads: number };
    const [size, group] = [headSize("attention", q, heads), heads / kvHeads];
    return { effect: "kept", source: (column) => size * Math.floor(column / size / group) + (column % size) };
  },
};

/**
 * Softmax(q kᵀ · scale) v with grouped heads, over the keys that `mask` shows, which are never later than the query.
 *
 * q is [batch, seq, heads · size], k and v are [batch, seq, kvHeads · size], the result is like q.
 * A query that sees no key at all (padding on the left) gives zeros. With `softCap` c, a score s counts as c · tanh(s / c).
 */
export const attention = defineOp<[q: Operand, k: Operand, v: Operand, mask: Operand], AttentionAttributes>({
  name: "attention",
  infer([q, k, v, mask], attrs) {
    if (mask.dtype !== "BOOL") throw mismatch("attention", mask, "a mask in BOOL");
    return inferAttention("attention", [q, k, v], attrs);
  },
  cost: attentionCost,
  lower([q, k, v, mask], attrs, [type]) {
    if (!isGrouped(type, attrs)) return onnx("Attention", [q, k, v, mask], plainAttributes(attrs));
    const bias = onnx("Mul", [onnx("Sub", [onnx("Cast", [mask], { to: ONNX_TYPE.F32 }), ONE]), scalar("F32", UNSEEN)]);
    return onnx("Mul", [groupQueryAttention([q, k, v], attrs, bias), seesAnyKey(bias)]);
  },
  columns: valueColumns,
  basis: { kind: "attends" },
});

/** {@link attention} over all keys up to the query's own: what a mask without padding and window shows. */
export const causalAttention = defineOp<[q: Operand, k: Operand, v: Operand], AttentionAttributes>({
  name: "causal_attention",
  infer: (operands, attrs) => inferAttention("causal_attention", operands, attrs),
  lower([q, k, v], attrs, [type]) {
    if (!isGrouped(type, attrs)) return onnx("Attention", [q, k, v], { ...plainAttributes(attrs), is_causal: 1 });
    return groupQueryAttention([q, k, v], attrs);
  },
  cost: attentionCost,
  columns: valueColumns,
  basis: { kind: "attends" },
});

/** Two products over the keys up to each query, a few queries at a time. */
function attentionCost([q]: readonly (readonly number[])[]): Cost {
  return { multiplyAdds: elementCount(q) * q[1] };
}

function inferAttention(
  op: string,
  [q, k, v]: readonly [TensorType, TensorType, TensorType],
  { heads, kvHeads }: AttentionAttributes,
): TensorType {
  const size = headSize(op, q, heads);
  if (k.shape[2] !== size * kvHeads) throw mismatch(op, k, `${kvHeads} heads of ${size} columns`);
  if (v.shape[2] !== k.shape[2]) throw mismatch(op, v, `${k.shape[2]} columns, as k`);
  return q;
}

/** Whether GroupQueryAttention takes it: it is twice as fast as Attention, as it leaves out the keys after a query. */
function isGrouped(q: TensorType, { heads }: AttentionAttributes): boolean {
  return headSize("attention", q, heads) % 8 === 0;
}

function plainAttributes({ heads, kvHeads, scale, softCap = 0 }: AttentionAttributes) {
  return { q_num_heads: heads, kv_num_heads: kvHeads, scale: float(scale), softcap: float(softCap) };
}

/** @param bias - added to the scores */
function groupQueryAttention(
  [q, k, v]: readonly OnnxInput[],
  { heads, kvHeads, scale, softCap = 0 }: AttentionAttributes,
  bias: OnnxInput = null,
): OnnxExpression {
  const [lastKeys, keys] = keyCounts(q);
  const attrs = { num_heads: heads, kv_num_heads: kvHeads, scale: float(scale), softcap: float(softCap) };
  const inputs = [q, k, v, null, null, lastKeys, keys, null, null, null, bias];
  return onnx("GroupQueryAttention", inputs, attrs, "com.microsoft");
}

const ONE = scalar("F32", 1);
/** What is taken from the score of a key that is not seen: finite, so that a row of them is no NaN. */
const UNSEEN = 1e30;

/** For each row the index of its last key, I32[batch], and the number of keys, I32[1]: padding is the mask's affair. */
function keyCounts(q: OnnxInput): [lastKeys: OnnxExpression, keys: OnnxExpression] {
  const keys = onnx("Cast", [onnx("Shape", [q], { start: 1, end: 2 })], { to: ONNX_TYPE.I32 });
  const last = onnx("Sub", [keys, new Tensor("I32", [1], Int32Array.of(1))]);
  return [onnx("Expand", [last, onnx("Shape", [q], { end: 1 })]), keys];
}

/** 1 for a query that sees a key, 0 for one that sees none: F32[batch, seq, 1]. */
function seesAnyKey(bias: OnnxExpression): OnnxExpression {
  const best = onnx("ReduceMax", [bias, int64(3)], { keepdims: 1 }); // [batch, 1, seq, 1]
  return onnx("Squeeze", [onnx("Exp", [best]), int64(1)]);
}

/** 0 … n−1 for the second dimension n of `ids`. */
function range(ids: OnnxInput): OnnxExpression {
  const length = onnx("Squeeze", [onnx("Shape", [ids], { start: 1, end: 2 })]);
  return onnx("Range", [scalar("I64", 0), length, scalar("I64", 1)]);
}
