import type { Operand } from "../fx/traceable.ts";
import { int64, scalar } from "./constants.ts";
import { onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/**
 * Multiplies each block of as many columns of x as the matrix has by the matrix, or by its transpose, and by `factor`:
 * what compressed-tensors calls a transform.
 */
export const transformBlocks = defineOp<[x: Operand, matrix: Operand], { transposed: boolean; factor: number }>({
  name: "transform_blocks",
  infer([x, matrix]) {
    const [width, size] = [x.shape.at(-1), matrix.shape[0]];
    if (typeof width !== "number" || typeof size !== "number" || width % size !== 0)
      throw mismatch("transform_blocks", x, `a multiple of ${size} columns`);
    return x;
  },
  lower([x, matrix], { transposed, factor }, [{ shape }, { shape: matrixShape }]) {
    const [width, size] = [shape.at(-1) as number, matrixShape[0] as number];
    const turned = transposed ? onnx("Transpose", [matrix], { perm: [1, 0] }) : matrix;
    const outer = shape.slice(0, -1).map(() => 0);
    const blocks = onnx("Reshape", [x, int64(...outer, width / size, size)]);
    const product = onnx("Reshape", [onnx("MatMul", [blocks, turned]), int64(...outer, width)]);
    return onnx("Mul", [product, scalar("F32", factor)]);
  },
});
