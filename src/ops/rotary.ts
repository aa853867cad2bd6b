import type { Operand } from "../fx/traceable.ts";
import { f32 } from "../fx/types.ts";
import { int64, ONNX_TYPE, scalar } from "./constants.ts";
import { type OnnxExpression, type OnnxInput, type OnnxValue, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { headSize, mismatch } from "./shapes.ts";

/**
 * Cosines and sines of position · frequency, times `scaling`: a pair of F32[positions' shape…, size / 2].
 * Rotary position embedding (arXiv:2104.09864), in the half-split order of Hugging Face checkpoints.
 */
export const rotaryTable = defineOp<[positions: Operand, inverseFrequency: Operand], { scaling: number }>({
  name: "rotary_table",
  infer([positions, frequency]) {
    const type = f32(...positions.shape, frequency.shape[0]);
    return { elements: [type, type] };
  },
  lower([positions, frequency], { scaling }) {
    const position = onnx("Unsqueeze", [onnx("Cast", [positions], { to: ONNX_TYPE.F32 }), int64(-1)]);
    const angle = onnx("Mul", [position, frequency]);
    return ["Cos", "Sin"].map((opType) => scaled(onnx(opType, [angle]), scaling));
  },
});

/** Rotates each head of x [batch, seq, heads · size], or as many of its first columns as there are angles, by {@link rotaryTable}. */
export const rotate = defineOp<[x: Operand, cos: Operand, sin: Operand], { heads: number }>({
  name: "rotate",
  infer([x, cos], { heads }) {
    const size = headSize("rotate", x, heads);
    const angles = cos.shape.at(-1);
    if (typeof angles !== "number" || angles > size / 2)
      throw mismatch("rotate", cos, `${size / 2} angles for heads of ${size} columns`);
    return x;
  },
  lower([x, cos, sin], { heads }, [, { shape }]) {
    // RotaryEmbedding wants a table for every row of the batch; ours may be one for all.
    const rows = onnx("Concat", [onnx("Shape", [x], { end: 2 }), int64(1)], { axis: 0 });
    const perRow = (table: OnnxInput) => onnx("Expand", [table, rows]);
    return onnx("RotaryEmbedding", [x, perRow(cos), perRow(sin)], {
      num_heads: heads,
      rotary_embedding_dim: 2 * (shape.at(-1) as number),
    });
  },
});

/** `long` where the sequence is longer than `beyond`, else `short`: the frequencies of LongRoPE. */
export const selectFrequencies = defineOp<[positions: Operand, short: Operand, long: Operand], { beyond: number }>({
  name: "select_frequencies",
  infer([, short, long]) {
    if (long.shape[0] !== short.shape[0]) throw mismatch("select_frequencies", long, `${short.shape[0]} frequencies`);
    return short;
  },
  lower: ([positions, short, long], { beyond }) =>
    onnx("Where", [onnx("Greater", [sequenceLength(positions), scalar("F32", beyond)]), long, short]),
});

/**
 * Frequencies of dynamic NTK scaling: those of the base θ · (factor · n / max − (factor − 1))^(size / (size − 2)), where n is
 * the sequence length, at least max.
 */
export const dynamicFrequencies = defineOp<
  [positions: Operand],
  { base: number; size: number; factor: number; maxPositions: number }
>({
  name: "dynamic_frequencies",
  infer: (_, { size }) => f32(size / 2),
  lower([positions], { base, size, factor, maxPositions }) {
    const length = onnx("Max", [sequenceLength(positions), scalar("F32", maxPositions)]);
    const stretch = onnx("Sub", [
      onnx("Mul", [length, scalar("F32", factor / maxPositions)]),
      scalar("F32", factor - 1),
    ]);
    const stretchedBase = onnx("Mul", [onnx("Pow", [stretch, scalar("F32", size / (size - 2))]), scalar("F32", base)]);
    const index = onnx("Range", [scalar("F32", 0), scalar("F32", size), scalar("F32", 2)]);
    const exponent = onnx("Div", [index, scalar("F32", size)]);
    return onnx("Reciprocal", [onnx("Pow", [stretchedBase, exponent])]);
  },
});

/** Largest position plus one, as F32. */
function sequenceLength(positions: OnnxValue): OnnxExpression {
  const last = onnx("ReduceMax", [positions], { keepdims: 0 });
  return onnx("Cast", [onnx("Add", [last, scalar("I64", 1)])], { to: ONNX_TYPE.F32 });
}

function scaled(value: OnnxExpression, scaling: number): OnnxExpression {
  return scaling === 1 ? value : onnx("Mul", [value, scalar("F32", scaling)]);
}
