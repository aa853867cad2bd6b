import type { Operand } from "../fx/traceable.ts";
import { f32, type TensorType } from "../fx/types.ts";
import { int64 } from "./constants.ts";
import { type OnnxExpression, type OnnxValue, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/** Σ x² of each column over all rows: [columns]. */
export const squareSum = defineOp<[x: Operand]>({
  name: "square_sum",
  infer: ([x]) => f32(widthOf("square_sum", x)),
  lower([x], _, [type]) {
    const rows = onnx("Reshape", [x, int64(-1, widthOf("square_sum", type))]);
    return onnx("ReduceSumSquare", [rows, int64(0)], { keepdims: 0 });
  },
});

/**
 * Minimum and maximum of each sequence, for each of `groups` runs of neighbouring columns: [sequences, 2, groups] of
 * [sequences, tokens, columns], the minima first. A matrix is one sequence.
 */
export const sequenceRange = defineOp<[x: Operand], { groups: number }>({
  name: "sequence_range",
  infer([x], { groups }) {
    if (widthOf("sequence_range", x) % groups !== 0) throw mismatch("sequence_range", x, `columns in ${groups} groups`);
    return f32(x.shape.length === 3 ? x.shape[0] : 1, 2, groups);
  },
  lower([x], { groups }, [type]) {
    const grouped = sequencesOf(x, type, groups);
    const extreme = (opType: string) =>
      onnx("Unsqueeze", [onnx(opType, [grouped, int64(1, 3)], { keepdims: 0 }), int64(1)]);
    return onnx("Concat", [extreme("ReduceMin"), extreme("ReduceMax")], { axis: 1 });
  },
});

/** The rows of one tensor, then those of another of the same shape but for them. */
export const appendRows = defineOp<[head: Operand, tail: Operand]>({
  name: "append_rows",
  infer([head, tail]) {
    const rest = head.shape.slice(1);
    if (String(tail.shape.slice(1)) !== String(rest)) throw mismatch("append_rows", tail, `rows of shape [${rest}]`);
    return { dtype: head.dtype, shape: [`${head.shape[0]}_and_${tail.shape[0]}`, ...rest] };
  },
  lower: (inputs) => onnx("Concat", inputs, { axis: 0 }),
});

/** [sequences, tokens, groups, columns of one] of an activation; a matrix is one sequence. */
export function sequencesOf(x: OnnxValue, type: TensorType, groups: number): OnnxExpression {
  const width = widthOf("sequence_range", type);
  return onnx("Reshape", [x, int64(type.shape.length === 3 ? 0 : 1, -1, groups, width / groups)]); // 0 keeps the size
}

function widthOf(op: string, x: TensorType): number {
  const width = x.shape.at(-1);
  if (typeof width !== "number") throw mismatch(op, x, "a last dimension of fixed size");
  return width;
}
