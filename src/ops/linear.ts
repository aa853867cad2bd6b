import type { Operand } from "../fx/traceable.ts";
import { formatType, type TensorType } from "../fx/types.ts";
import { elementCount } from "../tensor/tensor.ts";
import { linearRules } from "./column-factors.ts";
import { type OnnxExpression, type OnnxValue, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/** x Wᵀ for a weight of shape [out, in]. */
export const linear = defineOp<[x: Operand, weight: Operand]>({
  name: "linear",
  infer: ([x, weight]) => inferLinear("linear", x, weight),
  lower: ([x, weight]) => multiply(x, weight),
  columns: linearRules([1]),
  basis: { kind: "multiplies", reads: 1 },
  cost: ([x, weight]) => ({ multiplyAdds: elementCount(x) * weight[0] }),
});

/** x Wᵀ + b for a weight of shape [out, in] and a bias of shape [out]. */
export const linearBias = defineOp<[x: Operand, weight: Operand, bias: Operand]>({
  name: "linear_bias",
  infer([x, weight, bias]) {
    if (bias.shape[0] !== weight.shape[0]) throw mismatch("linear_bias", bias, `${weight.shape[0]} values`);
    return inferLinear("linear_bias", x, weight);
  },
  lower: ([x, weight, bias]) => onnx("Add", [multiply(x, weight), bias]),
  columns: linearRules([1, 2]),
  basis: { kind: "multiplies", reads: 1, bias: 2 },
  cost: ([x, weight]) => ({ multiplyAdds: elementCount(x) * weight[0] }),
});

/** Rows of a table [entries, width] by their I64 index. */
export const embedding = defineOp<[ids: Operand, table: Operand]>({
  name: "embedding",
  infer([ids, table]) {
    if (ids.dtype !== "I64") throw mismatch("embedding", ids, "indices in I64");
    if (table.shape.length !== 2) throw mismatch("embedding", table, "a table of shape [entries, width]");
    return { dtype: table.dtype, shape: [...ids.shape, table.shape[1]] };
  },
  lower: ([ids, table]) => onnx("Gather", [table, ids], { axis: 0 }),
  basis: { kind: "looksUp" },
});

function multiply(x: OnnxValue, weight: OnnxValue): OnnxExpression {
  return onnx("MatMul", [x, onnx("Transpose", [weight], { perm: [1, 0] })]);
}

function inferLinear(op: string, x: TensorType, weight: TensorType): TensorType {
  const width = lastDimension(op, x);
  if (weight.shape[1] !== width)
    throw mismatch(op, x, `${weight.shape[1]} columns, as the weight ${formatType(weight)}`);
  return { dtype: x.dtype, shape: [...x.shape.slice(0, -1), weight.shape[0]] };
}

function lastDimension(op: string, x: TensorType): number {
  const width = x.shape.at(-1);
  if (typeof width !== "number") throw mismatch(op, x, "a last dimension of fixed size");
  return width;
}
