import { Tensor } from "../tensor/tensor.ts";

/** ONNX's numbers for element types (TensorProto.DataType). */
export const ONNX_TYPE = {
  F32: 1,
  U8: 2,
  I8: 3,
  I32: 6,
  I64: 7,
  BOOL: 9,
  F16: 10,
  F64: 11,
  BF16: 16,
  F8_E4M3: 17,
} as const;

/** A constant list of integers, as shapes and axes are given in ONNX. */
export function int64(...values: number[]): Tensor<"I64"> {
  return new Tensor("I64", [values.length], BigInt64Array.from(values, BigInt));
}

/** A constant of rank 0. */
export function scalar(dtype: "F32" | "I64", value: number): Tensor {
  if (dtype === "F32") return new Tensor("F32", [], Float32Array.of(value));
  return new Tensor("I64", [], BigInt64Array.of(BigInt(value)));
}
