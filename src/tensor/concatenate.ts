import { ShapeError } from "../errors.ts";
import { Tensor } from "./tensor.ts";

/** Tensors of equal dtype and equal rows, one below the other. */
export function concatenateRows(tensors: readonly Tensor[]): Tensor {
  const [{ dtype, shape }] = tensors;
  const row = shape.slice(1);
  const odd = tensors.find((tensor) => tensor.dtype !== dtype || String(tensor.shape.slice(1)) !== String(row));
  if (odd) throw new ShapeError(`concatenate: ${odd.dtype}[${odd.shape}], expected rows of ${dtype}[${row}].`);
  const joined = Tensor.zeros(dtype, [tensors.reduce((rows, tensor) => rows + tensor.shape[0], 0), ...row]);
  let offset = 0;
  for (const { data } of tensors) {
    joined.data.set(data as never, offset);
    offset += data.length;
  }
  return joined;
}
