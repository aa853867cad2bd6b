import type { DType } from "./dtype.ts";
import { Tensor } from "./tensor.ts";

/** Rows and columns of a block that stays in the cache while it is transposed. */
const TILE = 32;

/** The matrix [columns, rows] of a matrix [rows, columns]. */
export function transpose<D extends DType>(matrix: Tensor<D>): Tensor<D> {
  const result = Tensor.zeros(matrix.dtype, matrix.shape.toReversed());
  transposeInto(result, matrix);
  return result;
}

/** Writes rows of a matrix [rows, columns], from `begin` on, to the columns of `target` [columns, rows] that they are. */
export function transposeInto<D extends DType>(target: Tensor<D>, matrix: Tensor<D>, begin = 0): void {
  const [[rows, columns], width] = [matrix.shape, target.shape[1]];
  const [from, to] = [matrix.data, target.data.subarray(begin)];
  for (let top = 0; top < rows; top += TILE) {
    for (let left = 0; left < columns; left += TILE) {
      const [bottom, right] = [Math.min(top + TILE, rows), Math.min(left + TILE, columns)];
      for (let row = top; row < bottom; row++) {
        for (let column = left; column < right; column++) to[column * width + row] = from[row * columns + column];
      }
    }
  }
}
