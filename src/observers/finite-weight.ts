import { CompressionError } from "../errors.ts";
import { toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { findNonFinite } from "../tensor/finite.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** A weight in F32. @throws CompressionError naming the module and the place of a NaN or infinity */
export function finiteWeight(weight: Tensor<FloatDType>, path: string): Tensor<"F32"> {
  const values = toFloat32(weight);
  const bad = findNonFinite(values.data);
  if (bad < 0) return values;
  const [row, column] = [Math.floor(bad / weight.shape[1]), bad % weight.shape[1]];
  throw new CompressionError(
    `${path}.weight: not finite at row ${row}, column ${column}, expected finite numbers. Repair the checkpoint.`,
  );
}
