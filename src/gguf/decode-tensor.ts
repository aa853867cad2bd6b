import { toFloat32 } from "../tensor/convert.ts";
import { viewBytes } from "../tensor/dtype.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import { type BlockType, decodeBlocks } from "./blocks.ts";
import { decodeKBlocks, isKBlockType } from "./k-blocks.ts";
import { isPlainType, type TensorType } from "./tensor-types.ts";

/** The values that a tensor's bytes stand for. */
export function decodeTensor(type: TensorType, shape: readonly number[], bytes: Uint8Array): Tensor<"F32"> {
  if (isPlainType(type)) return toFloat32(new Tensor(type, shape, viewBytes(type, bytes)));
  const values = new Float32Array(elementCount(shape));
  if (isKBlockType(type)) decodeKBlocks(type, bytes, values);
  else decodeBlocks(type satisfies BlockType, bytes, values);
  return new Tensor("F32", shape, values);
}
