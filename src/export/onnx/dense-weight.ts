import type { Parameter } from "../../nn/parameter.ts";
import { onnx } from "../../ops/onnx.ts";
import { fromFloat32 } from "../../tensor/convert.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { StoredWeight } from "./stored-weight.ts";

/** What a value is computed in, and stored where it is not quantized. */
export type ComputeDType = "F32" | "F16";

/**
 * A parameter as it multiplies.
 *
 * @param transposed - stores a matrix [out, in] as [in, out], so that a product reads it as it lies
 */
export function denseWeight(
  name: string,
  parameter: Parameter,
  dtype: ComputeDType,
  transposed: boolean,
): StoredWeight {
  const shape = transposed ? parameter.shape.toReversed() : parameter.shape;
  return {
    initializers: [{ name, dtype, shape }],
    async load() {
      const values = fromFloat32(await parameter.load(), dtype);
      return [transposed ? transpose(values) : values];
    },
    value: () => ({ value: name }),
    multiply(x) {
      const weight = { value: name };
      return onnx("MatMul", [x, transposed ? weight : onnx("Transpose", [weight], { perm: [1, 0] })]);
    },
    lookUp: (ids) => onnx("Gather", [{ value: name }, ids], { axis: 0 }),
  };
}

/** Rows and columns of a block that stays in the cache while it is transposed. */
const TILE = 32;

/** The matrix [columns, rows] of a matrix [rows, columns]. */
export function transpose<D extends ComputeDType | "I8">(matrix: Tensor<D>): Tensor<D> {
  const [rows, columns] = matrix.shape;
  const result = Tensor.zeros(matrix.dtype, [columns, rows]);
  const [from, to] = [matrix.data, result.data];
  for (let top = 0; top < rows; top += TILE) {
    for (let left = 0; left < columns; left += TILE) {
      const [bottom, right] = [Math.min(top + TILE, rows), Math.min(left + TILE, columns)];
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++) to[column * rows + row] = from[row * columns + column];
      }
    }
  }
  return result;
}
