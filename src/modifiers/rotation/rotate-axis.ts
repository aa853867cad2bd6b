import { Tensor } from "../../tensor/tensor.ts";
import type { Rotation } from "./hadamard.ts";

/** Vectors that are rotated at once: as many neighbours along the other axis as a cache line holds. */
const VECTORS = 16;

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
  const { size } = rotation;
  const offsets = places.map((place) => place * step);
  const [result, pairs] = [data.slice(), new Float64Array(VECTORS * size)];
  for (let begin = 0; begin < places.length; begin += size) {
    const run = offsets.subarray(begin, begin + size);
    for (let first = 0; first < count; first += VECTORS) {
      const others = Math.min(VECTORS, count - first);
      for (let i = 0; i < others; i++) gather(data, (first + i) * stride, run, pairs, laneOf(i, size));
      rotation.apply(pairs);
      for (let i = 0; i < others; i++) scatter(pairs, laneOf(i, size), run, result, (first + i) * stride);
    }
  }
  return new Tensor("F32", shape, result);
}

/** Where a vector begins among pairs of vectors; its values are two apart. */
function laneOf(vector: number, size: number): number {
  return (vector >> 1) * 2 * size + (vector & 1);
}

function gather(data: Float32Array, start: number, run: Int32Array, pairs: Float64Array, lane: number): void {
  for (let i = 0; i < run.length; i++) pairs[lane + 2 * i] = data[start + run[i]];
}

function scatter(pairs: Float64Array, lane: number, run: Int32Array, data: Float32Array, start: number): void {
  for (let i = 0; i < run.length; i++) data[start + run[i]] = pairs[lane + 2 * i];
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
