import { Tensor } from "../../tensor/tensor.ts";
import type { Rotation } from "./hadamard.ts";

/**
 * Multiplies the vectors that lie along one axis of a matrix by a rotation: each run of `rotation.size` places of the axis is
 * one vector. The other axis counts the vectors; a tensor of one dimension has one.
 *
 * @param places - places along the axis, run after run; all of them by default
 */
export function rotateAxis(
  { data, shape }: Tensor<"F32">,
  axis: 0 | 1,
  rotation: Rotation,
  places: Int32Array = Int32Array.from({ length: shape[axis] }, (_, place) => place),
): Tensor<"F32"> {
  const [rows, columns = 1] = shape;
  const [step, count, stride] = axis === 0 ? [columns, columns, 1] : [1, rows, columns];
  const [result, vector] = [data.slice(), new Float64Array(rotation.size)];
  for (let other = 0; other < count; other++) {
    for (let begin = 0; begin < places.length; begin += rotation.size) {
      for (let i = 0; i < rotation.size; i++) vector[i] = data[other * stride + places[begin + i] * step];
      rotation.apply(vector);
      for (let i = 0; i < rotation.size; i++) result[other * stride + places[begin + i] * step] = vector[i];
    }
  }
  return new Tensor("F32", shape, result);
}

/** Multiplies each place along one axis of a matrix by its factor. */
export function scaleAxis({ data, shape }: Tensor<"F32">, axis: 0 | 1, factors: ArrayLike<number>): Tensor<"F32"> {
  const columns = shape[1];
  const scaled = data.map(
    (value, index) => value * factors[axis === 1 ? index % columns : Math.floor(index / columns)],
  );
  return new Tensor("F32", shape, scaled);
}

/** The sum along one axis of a matrix, each place times its factor: what a weight makes of one vector. */
export function sumAxis({ data, shape }: Tensor<"F32">, axis: 0 | 1, factors: ArrayLike<number>): Float64Array {
  const [rows, columns] = shape;
  const sums = new Float64Array(axis === 1 ? rows : columns);
  for (let row = 0, index = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, index++)
      sums[axis === 1 ? row : column] += data[index] * factors[axis === 1 ? column : row];
  }
  return sums;
}
