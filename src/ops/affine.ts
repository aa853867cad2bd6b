import type { Operand } from "../fx/traceable.ts";
import { formatType } from "../fx/types.ts";
import { onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/** x W + b for a weight of shape [in, out]: what other libraries call Conv1D. */
export const affine = defineOp<[x: Operand, weight: Operand, bias: Operand]>({
  name: "affine",
  infer([x, weight, bias]) {
    const [rows, columns] = weight.shape;
    if (x.shape.at(-1) !== rows) throw mismatch("affine", x, `${rows} columns, as the weight ${formatType(weight)}`);
    if (bias.shape[0] !== columns) throw mismatch("affine", bias, `${columns} values`);
    return { dtype: x.dtype, shape: [...x.shape.slice(0, -1), columns] };
  },
  lower: ([x, weight, bias]) => onnx("Add", [onnx("MatMul", [x, weight]), bias]),
  basis: { kind: "multiplies", reads: 0, bias: 2 },
});
