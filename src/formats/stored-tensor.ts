import { CheckpointError } from "../errors.ts";
import { isFloat } from "../tensor/convert.ts";
import type { DType, FloatDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** The tensor `name` of a checkpoint, which must be of this dtype, and of this shape where one is given. */
export function expectTensor<D extends DType>(
  tensors: ReadonlyMap<string, Tensor>,
  name: string,
  dtype: D,
  shape?: readonly number[],
): Tensor<D> {
  const tensor = expectPresent(tensors, name);
  if (!tensor.is(dtype)) throw new CheckpointError(`${name}: dtype ${tensor.dtype}, expected ${dtype}.`);
  if (shape && String(tensor.shape) !== String(shape)) {
    throw new CheckpointError(`${name}: shape [${tensor.shape.join(", ")}], expected [${shape.join(", ")}].`);
  }
  return tensor;
}

/** The tensor `name` of a checkpoint, which must be of a dtype that weights come in. */
export function expectFloat(tensors: ReadonlyMap<string, Tensor>, name: string): Tensor<FloatDType> {
  const tensor = expectPresent(tensors, name);
  if (!isFloat(tensor)) throw new CheckpointError(`${name}: dtype ${tensor.dtype}, expected F32, F16 or BF16.`);
  return tensor;
}

function expectPresent(tensors: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new CheckpointError(`${name}: missing, expected it beside the module's other tensors.`);
  return tensor;
}
