import { Tensor } from "./tensor.ts";

/** a − b, element by element, of two tensors of one shape. */
export function difference(a: Tensor<"F32">, b: Tensor<"F32">): Tensor<"F32"> {
  return new Tensor(
    "F32",
    a.shape,
    a.data.map((value, index) => value - b.data[index]),
  );
}
