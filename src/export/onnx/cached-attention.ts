import type { Operand } from "../../fx/traceable.ts";
import { f32 } from "../../fx/types.ts";
import { int64, ONNX_TYPE, scalar } from "../../ops/constants.ts";
import { float, type OnnxExpression, type OnnxInput, onnx } from "../../ops/onnx.ts";
import { defineOp } from "../../ops/operator.ts";
import { headSize } from "../../ops/shapes.ts";

/** What is added to the score of a key that is not seen: e to its power is 0, and float16 holds it. */
const UNSEEN = 30_000;

/**
 * What is added to the scores of the tokens `ids` [batch, seq], the last ones of `attentionMask` I64[batch, total]: 0 for a
 * key that a query sees, −30,000 for padding, for a later key, and for one outside a sliding window. F32[batch, 1, seq, total].
 */
export const cacheBias = defineOp<[ids: Operand, attentionMask: Operand], { window: number | null }>({
  name: "cache_bias",
  infer: ([ids, mask]) => f32(mask.shape[0], 1, ids.shape[1], mask.shape[1]),
  lower([ids, mask], { window }) {
    const [seq, total] = [lengthOf(ids), lengthOf(mask)];
    const key = onnx("Unsqueeze", [range(scalar("I64", 0), total), int64(0)]); // [1, total]
    const query = onnx("Unsqueeze", [range(onnx("Sub", [total, seq]), total), int64(1)]); // [seq, 1]
    const causal = onnx("LessOrEqual", [key, query]);
    const near = window === null ? null : onnx("Less", [onnx("Sub", [query, key]), int64(window)]);
    const token = onnx("Unsqueeze", [onnx("Cast", [mask], { to: ONNX_TYPE.BOOL }), int64(1, 2)]); // [batch, 1, 1, total]
    const seen = onnx("And", [near ? onnx("And", [causal, near]) : causal, token]);
    const one = onnx("Cast", [seen], { to: ONNX_TYPE.F32 });
    return onnx("Mul", [onnx("Sub", [one, scalar("F32", 1)]), scalar("F32", UNSEEN)]);
  },
});

/** Heads of an attention, and what is done to its scores: the attributes of the operator `attention`. */
export type CachedAttentionAttributes = { heads: number; kvHeads: number; scale: number; softCap?: number };

/**
 * Attention of the newest tokens to those in the cache and to themselves: a triple of the result, like q, and of the keys and
 * values to keep, each [batch, kvHeads, total, size].
 *
 * q is [batch, seq, heads · size], k and v are [batch, seq, kvHeads · size], the cache holds [batch, kvHeads, past, size];
 * `bias` is that of {@link cacheBias}. ONNX's own operator, which is right on every device: onnxruntime-web's
 * GroupQueryAttention gives other values on WebGPU than on the CPU.
 */
export const cachedAttention = defineOp<
  [q: Operand, k: Operand, v: Operand, pastKey: Operand, pastValue: Operand, bias: Operand],
  CachedAttentionAttributes
>({
  name: "cached_attention",
  infer([q, k, , , , bias], { heads, kvHeads }) {
    const present = f32(k.shape[0], kvHeads, bias.shape[3], headSize("cached_attention", q, heads));
    return { elements: [q, present, present] };
  },
  lower([q, k, v, pastKey, pastValue, bias], { heads, kvHeads, scale, softCap = 0 }) {
    const attributes = { q_num_heads: heads, kv_num_heads: kvHeads, scale: float(scale), softcap: float(softCap) };
    const attention = { ...onnx("Attention", [q, k, v, bias, pastKey, pastValue], attributes), results: 3 };
    return [attention, ...[1, 2].map((result) => onnx("Identity", [{ of: attention, result }]))];
  },
});

/** The last `count` tokens of x [batch, seq, width]; all of them if `count`, a scalar in I64, is 0. */
export const lastTokens = defineOp<[x: Operand, count: Operand]>({
  name: "last_tokens",
  infer: ([{ dtype, shape }]) => ({ dtype, shape: [shape[0], "num_logits", ...shape.slice(2)] }),
  lower([x, count]) {
    const start = onnx("Reshape", [onnx("Neg", [count]), int64(1)]);
    return onnx("Slice", [x, start, int64(Number.MAX_SAFE_INTEGER), int64(1)]);
  },
});

function lengthOf(tokens: OnnxInput): OnnxExpression {
  return onnx("Squeeze", [onnx("Shape", [tokens], { start: 1, end: 2 })]);
}

function range(begin: OnnxInput, end: OnnxInput): OnnxExpression {
  return onnx("Range", [begin, end, scalar("I64", 1)]);
}
