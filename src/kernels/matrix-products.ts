import { Tensor } from "../tensor/tensor.ts";

/**
 * Products of float32 matrices, row-major, in plain memory: what the bulk of a blocked algorithm is made of. The results
 * do not depend on the number of threads.
 */
export interface MatrixProducts {
  /** c ← c − a bᵀ, in place, for a [m, k], b [n, k] and c [m, n]. */
  subtractProduct(c: Tensor<"F32">, a: Tensor<"F32">, b: Tensor<"F32">): Promise<void>;
  /** c ← aᵀ b, for a [k, m], b [k, n] and c [m, n]. */
  multiplyTransposed(c: Tensor<"F32">, a: Tensor<"F32">, b: Tensor<"F32">): Promise<void>;
}

/** Rows `begin` to `end` (excluded; all that follow by default) of a matrix, on the same memory. */
export function rowsOf({ data, shape: [rows, columns] }: Tensor<"F32">, begin: number, end = rows): Tensor<"F32"> {
  return new Tensor("F32", [end - begin, columns], data.subarray(begin * columns, end * columns));
}
