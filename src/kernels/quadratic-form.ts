import type { Tensor } from "../tensor/tensor.ts";
import type { KernelContext } from "./cholesky.ts";
import { rowsOf } from "./matrix-products.ts";

/** Elements of W M that are there at one time. */
const LARGEST = 2 ** 23;

/** trace(W M Wᵀ) of a matrix W [rows, columns] and a symmetric M [columns, columns]. */
export async function quadraticForm(
  { products, buffers }: Pick<KernelContext, "products" | "buffers">,
  matrix: Tensor<"F32">,
  symmetric: Tensor<"F32">,
): Promise<number> {
  const [rows, columns] = matrix.shape;
  const height = Math.min(rows, Math.max(1, Math.floor(LARGEST / columns)));
  const room = buffers.take("F32", [height, columns]);
  let sum = 0;
  for (let begin = 0; begin < rows; begin += height) {
    const some = rowsOf(matrix, begin, Math.min(rows, begin + height));
    const product = rowsOf(room, 0, some.shape[0]);
    product.data.fill(0);
    await products.subtractProduct(product, some, symmetric); // −W M
    for (let i = 0; i < some.data.length; i++) sum -= product.data[i] * some.data[i];
  }
  buffers.give(room);
  return sum;
}
