import { CheckpointError } from "../errors.ts";
import { allocate } from "../tensor/dtype.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import { expectTensor } from "./stored-tensor.ts";

/** The sparse formats of compressed-tensors before 0.15, which are read and no longer written. */
export const SPARSE_FORMATS = ["sparse-bitmask", "sparse-24-bitmask"] as const;

/** How the weights of a pruned checkpoint lie there. */
export type SparseFormatName = (typeof SPARSE_FORMATS)[number];

/** Names of the tensors that stand for a weight. Only the second format leaves `weight` out of them. */
export function sparseTensorNames(format: SparseFormatName, module: string): { compressed: string; bitmask: string } {
  const prefix = format === "sparse-bitmask" ? `${module}.weight` : module;
  return { compressed: `${prefix}.compressed`, bitmask: `${prefix}.bitmask` };
}

/**
 * The weight, in the dtype of its values: bit c mod 8 of a row's byte ⌊c/8⌋ says whether column c has one, and values lie row
 * after row.
 *
 * @throws CheckpointError where bits and values do not fit each other
 */
export function decodeSparse(
  format: SparseFormatName,
  module: string,
  tensors: ReadonlyMap<string, Tensor>,
  [rows, columns]: readonly number[],
): Tensor {
  const names = sparseTensorNames(format, module);
  const { data: bits } = expectTensor(tensors, names.bitmask, "U8", [rows, Math.ceil(columns / 8)]);
  const compressed = tensors.get(names.compressed);
  if (!compressed) throw new CheckpointError(`${names.compressed}: missing, expected it beside ${names.bitmask}.`);
  const data = allocate(compressed.dtype, rows * columns);
  let next = 0;
  for (let row = 0; row < rows; row++) {
    const first = row * Math.ceil(columns / 8);
    for (let column = 0; column < columns; column++) {
      if ((bits[first + (column >> 3)] >> (column & 7)) & 1) data[row * columns + column] = compressed.data[next++];
    }
  }
  const values = elementCount(compressed.shape);
  if (next !== values) {
    throw new CheckpointError(
      `${names.compressed}: ${values} values, expected ${next}, as many as ${names.bitmask} has bits.`,
    );
  }
  return new Tensor(compressed.dtype, [rows, columns], data);
}
