import { codeTypeOf } from "../schemes/code-type.ts";
import type { QuantizedWeight } from "../schemes/quantize.ts";
import { rounder, toFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";

/** The group of each column of a module's weight, where its file says that groups are not neighbours; else undefined. */
export function groupOfColumns(name: string, tensors: ReadonlyMap<string, Tensor>): Tensor<"I32"> | undefined {
  const groups = tensors.get(`${name}.weight_g_idx`);
  return groups?.is("I32") && !groups.data.includes(-1) ? groups : undefined;
}

/**
 * Decodes a weight whose columns name their groups, as files before compressed-tensors 0.19 may hold it (activation order
 * `group`): element (r, c) has scale [r, groupOfColumn[c]].
 */
export function dequantizeByColumn(
  { codes, scale, zeroPoint, args }: QuantizedWeight,
  groupOfColumn: Tensor<"I32">,
): Tensor<"F32"> {
  const [[rows, columns], groups] = [codes.shape, scale.shape[1]];
  const [{ values }, rd] = [codeTypeOf(args), rounder(scale.dtype)];
  const scales = toFloat32(scale).data;
  const weight = Tensor.zeros("F32", codes.shape);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const [i, group] = [row * columns + column, row * groups + groupOfColumn.data[column]];
      weight.data[i] = rd((values[codes.data[i] & 0xff] - (zeroPoint?.data[group] ?? 0)) * scales[group]);
    }
  }
  return weight;
}
