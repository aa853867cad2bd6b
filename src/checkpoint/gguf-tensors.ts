import { CheckpointError } from "../errors.ts";
import type { Architecture } from "../gguf/architectures.ts";
import { decodeTensor } from "../gguf/decode-tensor.ts";
import type { PlacedTensor } from "../gguf/parse-header.ts";
import { type Heads, inverseOrder, type Reordering, reorderingOf } from "../gguf/row-order.ts";
import { isOffset, isTransposed, parameterName, ROPE_FACTOR_TENSORS } from "../gguf/tensor-names.ts";
import { isPlainType } from "../gguf/tensor-types.ts";
import { Tensor } from "../tensor/tensor.ts";
import { transpose } from "../tensor/transpose.ts";
import type { TensorEncoding, TensorInfo } from "./safetensors.ts";

/** More than any model has. */
const MOST_EXPERTS = 4096;

/**
 * A tensor under the model's names: one, or one for each expert; none for what is part of the configuration.
 *
 * @throws CheckpointError for a tensor that the architecture does not have
 */
export function tensorInfos(
  file: string,
  tensor: PlacedTensor,
  architecture: Architecture,
  heads: Heads,
): TensorInfo[] {
  if (ROPE_FACTOR_TENSORS.has(tensor.name)) return [];
  const name = parameterName(architecture, tensor.name);
  if (name === undefined) {
    throw new CheckpointError(
      `${file}: tensor ${JSON.stringify(tensor.name)}, expected those of ${architecture.name}. The model is not one that layerwise knows.`,
    );
  }
  if (!name.includes(".*.")) return [tensorInfo(file, name, tensor, architecture, heads)];
  const [experts, ...shape] = tensor.shape;
  if (shape.length !== 2 || experts > MOST_EXPERTS) {
    throw new CheckpointError(
      `${file}: ${tensor.name} has shape [${tensor.shape.join(", ")}], expected a matrix for each of at most ${MOST_EXPERTS} experts.`,
    );
  }
  const size = (tensor.end - tensor.begin) / experts;
  return Array.from({ length: experts }, (_, expert) => {
    const begin = tensor.begin + expert * size;
    const part = { ...tensor, shape, begin, end: begin + size };
    return tensorInfo(file, name.replace("*", String(expert)), part, architecture, heads);
  });
}

function tensorInfo(
  file: string,
  name: string,
  { name: stored, type, shape, begin, end }: PlacedTensor,
  architecture: Architecture,
  heads: Heads,
): TensorInfo {
  const isRow = shape.length === 1 && name.endsWith("shared_expert_gate.weight"); // leading ones are lost in some files
  const info = { name, shape: isRow ? [1, ...shape] : shape, file, begin, end };
  if (isTransposed(architecture, name) && shape.length === 2) {
    const decode: TensorEncoding["decode"] = (bytes, own) => transpose(decodeTensor(type, own.toReversed(), bytes));
    return { ...info, shape: shape.toReversed(), dtype: "F32", encoding: { name: type, transposed: true, decode } };
  }
  const reordering = reorderingOf(architecture, name);
  const addsOne = isOffset(architecture, name);
  if (isPlainType(type) && !reordering && !addsOne) return { ...info, dtype: type };
  const places =
    reordering && inverseOrder(reordering.order(shape[0], checkHeads(file, stored, shape[0], heads, reordering)));
  const decode: TensorEncoding["decode"] = (bytes, own) => {
    const values = decodeTensor(type, own, bytes);
    return addsOne
      ? new Tensor(
          "F32",
          own,
          values.data.map((value) => value - 1),
        )
      : values;
  };
  return { ...info, dtype: "F32", encoding: { name: type, places, decode } };
}

function checkHeads(
  file: string,
  tensor: string,
  rows: number,
  heads: Heads,
  { heads: kind, parts }: Reordering,
): number {
  if (Number.isInteger(rows / heads[kind] / parts)) return heads[kind];
  throw new CheckpointError(
    `${file}: ${tensor} has ${rows} rows, expected a multiple of ${parts} for each of ${heads[kind]} heads.`,
  );
}
