import type { DType } from "./dtype.ts";
import { Tensor } from "./tensor.ts";

/** Rows and columns of a block that stays in the cache while it is transposed. */
const TILE = 32;

/** The matrix [columns, rows] of a matrix [rows, columns]. */
export function transpose<D extends DType>(matrix: Tensor<D>): Tensor<D> {
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
