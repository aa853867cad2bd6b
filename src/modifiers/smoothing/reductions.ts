import { addMagnitudes, columnMaximum, columnMinimum } from "../../ops/column-statistics.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { addInPlace, type Reduction } from "../tap.ts";

/** Smallest and largest value of each column over all tokens of all batches: [2, columns]. */
export const columnRange: Reduction = {
  name: "column_range",
  initial: ({ shape }) => [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY].map((value) => row(shape, 0, value)),
  accumulate: (x, [minimum, maximum]) => [columnMinimum(x, minimum), columnMaximum(x, maximum)],
  finish([minimum, maximum]) {
    return new Tensor("F32", [2, minimum.data.length], Float32Array.of(...minimum.data, ...maximum.data));
  },
  merge(value, other) {
    const {
      data,
      shape: [, columns],
    } = value;
    for (let column = 0; column < columns; column++) {
      data[column] = Math.min(data[column], other.data[column]);
      data[columns + column] = Math.max(data[columns + column], other.data[columns + column]);
    }
    return value;
  },
};

/** Σ |x| of each column over all tokens of all batches, and the number of tokens: [1, columns + 1]. */
export const columnMagnitudes: Reduction = {
  name: "column_magnitudes",
  initial: ({ shape }) => [row(shape, 1, 0)],
  accumulate: (x, [total]) => [addMagnitudes(x, total)],
  finish: ([total]) => total,
  merge: addInPlace,
};

function row(shape: readonly unknown[], more: number, value: number): Tensor<"F32"> {
  const width = (shape.at(-1) as number) + more;
  return new Tensor("F32", [1, width], new Float32Array(width).fill(value));
}
