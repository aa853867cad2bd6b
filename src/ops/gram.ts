import type { Operand } from "../fx/traceable.ts";
import { f32 } from "../fx/types.ts";
import { int64 } from "./constants.ts";
import { type OnnxExpression, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/** Panels that a wide product is cut into: of their blocks, those above the diagonal are copies. */
const PANELS = 4;
/** Columns from which on saving products is worth the copies. */
const WIDE = 1024;

/** XᵀX of the last dimension, over all rows: the second moment that a Hessian is made of. [columns, columns]. */
export const gram = defineOp<[x: Operand]>({
  name: "gram",
  infer([x]) {
    const width = x.shape.at(-1);
    if (typeof width !== "number") throw mismatch("gram", x, "a last dimension of fixed size");
    return f32(width, width);
  },
  lower([x], _, [{ shape }]) {
    const width = shape.at(-1) as number;
    const rows = onnx("Reshape", [x, int64(-1, width)]);
    return width >= WIDE && width % PANELS === 0 ? lowerByPanels(rows, width / PANELS) : product(rows, rows);
  },
});

/** By symmetry: panel i is computed up to its diagonal block, what is right of it is the transpose of later panels. */
function lowerByPanels(rows: OnnxExpression, size: number): OnnxExpression {
  const indices = Array.from({ length: PANELS }, (_, index) => index);
  const panels = indices.map((i) =>
    product(columns(rows, i * size, (i + 1) * size), i === PANELS - 1 ? rows : columns(rows, 0, (i + 1) * size)),
  );
  const mirrored = (i: number, j: number) =>
    onnx("Transpose", [columns(panels[j], i * size, (i + 1) * size)], { perm: [1, 0] });
  const lines = indices.map((i) => concatenate([panels[i], ...indices.slice(i + 1).map((j) => mirrored(i, j))], 1));
  return concatenate(lines, 0);
}

function product(a: OnnxExpression, b: OnnxExpression): OnnxExpression {
  return onnx("Gemm", [a, b], { transA: 1 });
}

function columns(matrix: OnnxExpression, begin: number, end: number): OnnxExpression {
  return onnx("Slice", [matrix, int64(begin), int64(end), int64(1)]);
}

function concatenate(parts: readonly OnnxExpression[], axis: number): OnnxExpression {
  return parts.length === 1 ? parts[0] : onnx("Concat", parts, { axis });
}
