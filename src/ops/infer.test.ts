import { expect, test } from "vitest";
import { ShapeError } from "../errors.ts";
import type { Attributes } from "../fx/node.ts";
import { bool, f32, formatType, i64, type ValueType } from "../fx/types.ts";
import { gelu, softCap } from "./activation.ts";
import { affine } from "./affine.ts";
import { add, mul, scale, silu } from "./arithmetic.ts";
import { attention, causalMask, onesLike, positionIds } from "./attention.ts";
import { accumulateGram } from "./gram.ts";
import { columns, mergeHeads, splitHeads } from "./heads.ts";
import { embedding, linear, linearBias } from "./linear.ts";
import { nextTokenLoss } from "./loss.ts";
import { layerNorm, offsetRmsNorm, rmsNorm } from "./norm.ts";
import type { Operator } from "./operator.ts";
import { shiftPositions, textPositions } from "./positions.ts";
import { dynamicFrequencies, rotaryTable, rotate, selectFrequencies } from "./rotary.ts";
import { addRouted, gatherRouted, routedTo, routeTokens, zerosLike } from "./routing.ts";

interface Called {
  readonly operator: Operator;
}

const x = f32("batch", "seq", 16);
const tokens = i64("batch", "seq");
const mask = bool("batch", 1, "seq", "seq");
const heads = { heads: 4, kvHeads: 2, scale: 0.5 };
const stretch = { base: 10_000, size: 8, factor: 4, maxPositions: 8 };

test.each<[call: Called, inputs: ValueType[], attrs: Attributes, result: string]>([
  [add, [x, f32(16)], {}, "F32[batch,seq,16]"],
  [mul, [f32(16), x], {}, "F32[batch,seq,16]"],
  [silu, [x], {}, "F32[batch,seq,16]"],
  [linear, [x, f32(5, 16)], {}, "F32[batch,seq,5]"],
  [linearBias, [x, f32(5, 16), f32(5)], {}, "F32[batch,seq,5]"],
  [embedding, [tokens, f32(7, 16)], {}, "F32[batch,seq,16]"],
  [accumulateGram, [x, f32(16, 16)], { block: 0 }, "F32[16,16]"],
  [rmsNorm, [x, f32(16)], { eps: 1e-6 }, "F32[batch,seq,16]"],
  [positionIds, [tokens], {}, "I64[1,seq]"],
  [onesLike, [tokens], {}, "I64[batch,seq]"],
  [causalMask, [tokens], { window: null }, "BOOL[batch,1,seq,seq]"],
  [attention, [x, f32("batch", "seq", 8), f32("batch", "seq", 8), mask], heads, "F32[batch,seq,16]"],
  [rotaryTable, [i64(1, "seq"), f32(4)], { scaling: 1 }, "(F32[1,seq,4], F32[1,seq,4])"],
  [rotate, [x, f32(1, "seq", 4), f32(1, "seq", 4)], { heads: 2 }, "F32[batch,seq,16]"],
  [selectFrequencies, [i64(1, "seq"), f32(4), f32(4)], { beyond: 8 }, "F32[4]"],
  [dynamicFrequencies, [i64(1, "seq")], stretch, "F32[4]"],
  [nextTokenLoss, [f32("batch", "seq", 11), tokens], {}, "F32[batch,seq-1,1]"],
  [scale, [x], { factor: 2 }, "F32[batch,seq,16]"],
  [gelu, [x], {}, "F32[batch,seq,16]"],
  [softCap, [x], { cap: 30 }, "F32[batch,seq,16]"],
  [affine, [x, f32(16, 5), f32(5)], {}, "F32[batch,seq,5]"],
  [offsetRmsNorm, [x, f32(16)], { eps: 1e-6 }, "F32[batch,seq,16]"],
  [layerNorm, [x, f32(16), f32(16)], { eps: 1e-6 }, "F32[batch,seq,16]"],
  [rotate, [x, f32(1, "seq", 2), f32(1, "seq", 2)], { heads: 2 }, "F32[batch,seq,16]"],
  [splitHeads, [x], { heads: 4 }, "F32[batch,seq,4,4]"],
  [mergeHeads, [f32("batch", "seq", 4, 4)], {}, "F32[batch,seq,16]"],
  [columns, [x], { begin: 3, end: 7 }, "F32[batch,seq,4]"],
  [textPositions, [tokens], {}, "I64[batch,seq]"],
  [shiftPositions, [tokens], { offset: 2 }, "I64[batch,seq]"],
  [routeTokens, [x], { topK: 2, normalize: true }, "(F32[batch,seq,2], I64[batch,seq,2])"],
  [routedTo, [i64("batch", "seq", 2)], { expert: 3 }, "I64[2,routed_3]"],
  [gatherRouted, [x, i64(2, "routed_3")], {}, "F32[routed_3,16]"],
  [addRouted, [x, f32("routed_3", 16), f32("batch", "seq", 2), i64(2, "routed_3")], {}, "F32[batch,seq,16]"],
  [zerosLike, [x], {}, "F32[batch,seq,16]"],
])("dimensions with a name stay as they are: case %#", ({ operator }, inputs, attrs, result) => {
  expect(formatType(operator.infer(inputs, attrs))).toBe(result);
});

test.each<[message: string, call: Called, inputs: ValueType[], attrs: Attributes]>([
  ["add: input F32[2], expected shapes that broadcast with F32[3].", add, [f32(2), f32(3)], {}],
  ["mul: input F32[2], expected shapes that broadcast with F32[3].", mul, [f32(2), f32(3)], {}],
  ["silu: input 0 is a tuple, expected one tensor. Unpack it first.", silu, [{ elements: [x, x] }], {}],
  ["linear: input F32[batch,seq,16], expected 8 columns, as the weight F32[5,8].", linear, [x, f32(5, 8)], {}],
  ["linear: input F32[2,width], expected a last dimension of fixed size.", linear, [f32(2, "width"), f32(5, 8)], {}],
  [
    "linear_bias: input F32[batch,seq,16], expected 8 columns, as the weight F32[5,8].",
    linearBias,
    [x, f32(5, 8), f32(5)],
    {},
  ],
  ["linear_bias: input F32[4], expected 5 values.", linearBias, [x, f32(5, 16), f32(4)], {}],
  ["embedding: input F32[batch,seq,16], expected indices in I64.", embedding, [x, f32(7, 16)], {}],
  ["embedding: input F32[7], expected a table of shape [entries, width].", embedding, [tokens, f32(7)], {}],
  [
    "accumulate_gram: input F32[batch,width], expected a last dimension of fixed size.",
    accumulateGram,
    [f32("batch", "width"), f32()],
    { block: 0 },
  ],
  [
    "accumulate_gram: input F32[4,16], expected shape [16, 16].",
    accumulateGram,
    [f32("batch", 16), f32(4, 16)],
    { block: 0 },
  ],
  ["rms_norm: input F32[8], expected 16 values.", rmsNorm, [x, f32(8)], { eps: 1e-6 }],
  ["offset_rms_norm: input F32[8], expected 16 values.", offsetRmsNorm, [x, f32(8)], { eps: 1e-6 }],
  ["layer_norm: input F32[8], expected 16 values.", layerNorm, [x, f32(16), f32(8)], { eps: 1e-6 }],
  ["affine: input F32[batch,seq,16], expected 8 columns, as the weight F32[8,5].", affine, [x, f32(8, 5), f32(5)], {}],
  ["affine: input F32[4], expected 5 values.", affine, [x, f32(16, 5), f32(4)], {}],
  ["merge_heads: input F32[batch,seq,16], expected shape [batch, seq, heads, size].", mergeHeads, [x], {}],
  [
    "columns: input F32[batch,seq,16], expected columns 8 to 20 in its last dimension.",
    columns,
    [x],
    { begin: 8, end: 20 },
  ],
  [
    "route_tokens: input F32[batch,seq,16], expected logits [batch, seq, experts] for at least 17 experts.",
    routeTokens,
    [x],
    { topK: 17, normalize: true },
  ],
  ["routed_to: input F32[batch,seq,16], expected expert indices I64[batch, seq, topK].", routedTo, [x], { expert: 0 }],
  [
    "add_routed: input F32[n,8], expected 16 columns.",
    addRouted,
    [x, f32("n", 8), f32("batch", "seq", 2), i64(2, "n")],
    {},
  ],
  [
    "add_routed: input F32[n,2], expected weights [batch, seq, topK].",
    addRouted,
    [x, f32("n", 16), f32("n", 2), i64(2, "n")],
    {},
  ],
  ["position_ids: input I64[seq], expected I64[batch,seq].", positionIds, [i64("seq")], {}],
  ["ones_like: input F32[2,3], expected I64[batch,seq].", onesLike, [f32(2, 3)], {}],
  [
    "causal_mask: input I64[batch,1,seq,seq], expected I64[batch,seq].",
    causalMask,
    [i64("batch", 1, "seq", "seq")],
    {},
  ],
  [
    "attention: input F32[batch,seq,18], expected shape [batch, seq, columns] with equally many columns for each of 4 heads.",
    attention,
    [f32("batch", "seq", 18), x, x, mask],
    heads,
  ],
  ["attention: input F32[batch,seq,16], expected 2 heads of 4 columns.", attention, [x, x, x, mask], heads],
  [
    "attention: input F32[batch,seq,16], expected 8 columns, as k.",
    attention,
    [x, f32("batch", "seq", 8), x, mask],
    heads,
  ],
  ["attention: input I64[batch,seq], expected a mask in BOOL.", attention, [x, x, x, tokens], { ...heads, kvHeads: 4 }],
  [
    "rotate: input F32[1,seq,8], expected 4 angles for heads of 8 columns.",
    rotate,
    [x, f32(1, "seq", 8), f32(1, "seq", 8)],
    { heads: 2 },
  ],
  [
    "rotate: input F32[batch,seq,16], expected shape [batch, seq, columns] with equally many columns for each of 3 heads.",
    rotate,
    [x, f32(1, "seq", 8), f32(1, "seq", 8)],
    { heads: 3 },
  ],
  [
    "select_frequencies: input F32[5], expected 4 frequencies.",
    selectFrequencies,
    [i64(1, "seq"), f32(4), f32(5)],
    { beyond: 8 },
  ],
  [
    "rotary_table: input 1 is a tuple, expected one tensor. Unpack it first.",
    rotaryTable,
    [tokens, { elements: [] }],
    { scaling: 1 },
  ],
  [
    "dynamic_frequencies: input 0 is a tuple, expected one tensor. Unpack it first.",
    dynamicFrequencies,
    [{ elements: [] }],
    stretch,
  ],
  [
    "next_token_loss: input F32[batch,seq], expected I64[batch,seq].",
    nextTokenLoss,
    [f32("batch", "seq", 11), f32("batch", "seq")],
    {},
  ],
  [
    "next_token_loss: input F32[seq,11], expected logits of shape [batch, seq, vocabulary].",
    nextTokenLoss,
    [f32("seq", 11), tokens],
    {},
  ],
])("%s", (message, { operator }, inputs, attrs) => {
  expect(() => operator.infer(inputs, attrs)).toThrow(new ShapeError(message));
});
