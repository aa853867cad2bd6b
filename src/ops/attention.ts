import type { Operand } from "../fx/traceable.ts";
import { bool, i64 } from "../fx/types.ts";
import { int64, ONNX_TYPE, scalar } from "./constants.ts";
import { float, type OnnxExpression, type OnnxInput, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { checkTokens, headSize, mismatch } from "./shapes.ts";

/** 0, 1, … seq−1 for tokens of shape [batch, seq]: I64[1, seq], the same for every row, padded or not. */
export const positionIds = defineOp<[ids: Operand]>({
  name: "position_ids",
  infer([ids]) {
    checkTokens("position_ids", ids);
    return i64(1, ids.shape[1]);
  },
  lower: ([ids]) => onnx("Unsqueeze", [range(ids), int64(0)]),
});

/** A mask that hides nothing, for tokens of shape [batch, seq]. */
export const onesLike = defineOp<[ids: Operand]>({
  name: "ones_like",
  infer([ids]) {
    checkTokens("ones_like", ids);
    return ids;
  },
  lower: ([ids]) => onnx("Expand", [int64(1), onnx("Shape", [ids])]),
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

/**
 * Softmax(q kᵀ · scale) v with grouped heads, over the keys that `mask` shows.
 *
 * q is [batch, seq, heads · size], k and v are [batch, seq, kvHeads · size], the result is like q.
 * A query that sees no key at all (padding on the left) gives zeros.
 */
export const attention = defineOp<
  [q: Operand, k: Operand, v: Operand, mask: Operand],
  { heads: number; kvHeads: number; scale: number; softCap?: number }
>({
  name: "attention",
  infer([q, k, v, mask], { heads, kvHeads }) {
    const size = headSize("attention", q, heads);
    if (k.shape[2] !== size * kvHeads) throw mismatch("attention", k, `${kvHeads} heads of ${size} columns`);
    if (v.shape[2] !== k.shape[2]) throw mismatch("attention", v, `${k.shape[2]} columns, as k`);
    if (mask.dtype !== "BOOL") throw mismatch("attention", mask, "a mask in BOOL");
    return q;
  },
  lower: (inputs, { heads, kvHeads, scale, softCap = 0 }) =>
    onnx("Attention", inputs, {
      q_num_heads: heads,
      kv_num_heads: kvHeads,
      scale: float(scale),
      softcap: float(softCap),
    }),
});

/** 0 … n−1 for the second dimension n of `ids`. */
function range(ids: OnnxInput): OnnxExpression {
  const length = onnx("Squeeze", [onnx("Shape", [ids], { start: 1, end: 2 })]);
  return onnx("Range", [scalar("I64", 0), length, scalar("I64", 1)]);
}
