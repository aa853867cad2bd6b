import type { Operand } from "../fx/traceable.ts";
import type { TensorType } from "../fx/types.ts";
import { int64, ONNX_TYPE } from "./constants.ts";
import { type OnnxExpression, type OnnxValue, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

type Accumulation = [x: Operand, total: Operand];

/** The smallest value of each column (the last dimension) of x and of a total F32[1, columns]. */
export const columnMinimum = defineOp<Accumulation>({
  name: "column_minimum",
  infer: (inputs) => inferTotal("column_minimum", inputs, 0),
  lower: ([x, total], _, [type]) => extreme("ReduceMin", x, total, type),
});

/** The largest value of each column (the last dimension) of x and of a total F32[1, columns]. */
export const columnMaximum = defineOp<Accumulation>({
  name: "column_maximum",
  infer: (inputs) => inferTotal("column_maximum", inputs, 0),
  lower: ([x, total], _, [type]) => extreme("ReduceMax", x, total, type),
});

/** Adds Σ |x| of each column (the last dimension) to a total F32[1, columns + 1], and to its last element the rows of x. */
export const addMagnitudes = defineOp<Accumulation>({
  name: "add_magnitudes",
  infer: (inputs) => inferTotal("add_magnitudes", inputs, 1),
  lower([x, total], _, [type]) {
    const rows = rowsOf(x, type);
    const sums = onnx("ReduceSum", [onnx("Abs", [rows]), int64(0)], { keepdims: 1 });
    const count = onnx("Cast", [onnx("Shape", [rows], { end: 1 })], { to: ONNX_TYPE.F32 });
    const found = onnx("Concat", [sums, onnx("Reshape", [count, int64(1, 1)])], { axis: 1 });
    return onnx("Add", [total, found]);
  },
});

function inferTotal(op: string, [x, total]: readonly TensorType[], more: number): TensorType {
  const width = x.shape.at(-1);
  if (typeof width !== "number") throw mismatch(op, x, "a last dimension of fixed size");
  if (String(total.shape) !== String([1, width + more])) throw mismatch(op, total, `shape [1, ${width + more}]`);
  return total;
}

/** The total counts as one more row, so that x may have none. */
function extreme(reduce: string, x: OnnxValue, total: OnnxValue, type: TensorType): OnnxExpression {
  const rows = onnx("Concat", [rowsOf(x, type), total], { axis: 0 });
  return onnx(reduce, [rows, int64(0)], { keepdims: 1 });
}

function rowsOf(x: OnnxValue, { shape }: TensorType): OnnxExpression {
  return onnx("Reshape", [x, int64(-1, shape.at(-1) as number)]);
}
