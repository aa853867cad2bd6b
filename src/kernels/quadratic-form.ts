import type { Tensor } from "../tensor/tensor.ts";
import type { KernelContext } from "./cholesky.ts";

/** trace(W M Wᵀ) of a matrix W [rows, columns] and a symmetric M [columns, columns]. */
export async function quadraticForm(
  { products, buffers }: Pick<KernelContext, "products" | "buffers">,
  matrix: Tensor<"F32">,
  symmetric: Tensor<"F32">,
): Promise<number> {
  const product = buffers.takeZeros("F32", matrix.shape);
  await products.subtractProduct(product, matrix, symmetric); // −W M
  let sum = 0;
  for (let i = 0; i < matrix.data.length; i++) sum -= product.data[i] * matrix.data[i];
  buffers.give(product);
  return sum;
}
