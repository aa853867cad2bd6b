import { CompressionError } from "../errors.ts";
import { fromFloat32, toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { findNonFinite } from "../tensor/finite.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A tensor in the dtype it is saved in. @throws CompressionError naming a finite value that the dtype has no room for */
export function narrow(name: string, tensor: Tensor<"F32">, dtype: FloatDType): Tensor<FloatDType> {
  const narrowed = fromFloat32(tensor, dtype);
  if (narrowed === tensor) return narrowed;
  const decoded = toFloat32(narrowed).data;
  if (findNonFinite(decoded) < 0) return narrowed;
  const lost = tensor.data.findIndex((value, i) => Number.isFinite(value) && !Number.isFinite(decoded[i]));
  if (lost < 0) return narrowed;
  throw new CompressionError(
    `${name}: holds ${tensor.data[lost]}, expected values that ${dtype} can hold. Save in another precision.`,
  );
}
