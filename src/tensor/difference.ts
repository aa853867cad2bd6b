import { Tensor } from "./tensor.ts";

/** Σ (a − b)² of two arrays of one length. A plain loop: this runs over every weight. */
export function squaredDistance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) {
    const step = a[i] - b[i];
    sum += step * step;
  }
  return sum;
}

/** a − b, element by element, of two tensors of one shape. */
export function difference(a: Tensor<"F32">, b: Tensor<"F32">): Tensor<"F32"> {
  return new Tensor(
    "F32",
    a.shape,
    a.data.map((value, index) => value - b.data[index]),
  );
}
