import { ExecutionError } from "../errors.ts";
import type { DType } from "../tensor/dtype.ts";

/** An element type that crosses ONNX Runtime's boundary: as layerwise calls it, by its number in ONNX, as onnxruntime-node does. */
interface ElementType {
  readonly dtype: DType;
  readonly code: number;
  readonly name: string;
}

const ELEMENT_TYPES: readonly ElementType[] = [
  { dtype: "F32", code: 1, name: "float32" },
  { dtype: "F64", code: 11, name: "float64" },
  { dtype: "I64", code: 7, name: "int64" },
  { dtype: "I32", code: 6, name: "int32" },
  { dtype: "I8", code: 3, name: "int8" },
  { dtype: "U8", code: 2, name: "uint8" },
  { dtype: "BOOL", code: 9, name: "bool" },
];

/** @throws ExecutionError for a dtype that does not cross */
export function elementType(dtype: DType): ElementType {
  return find("tensor: dtype", "dtype", dtype);
}

/** The dtype of a result. @throws ExecutionError for a type that is not known here */
export function dtypeOfResult(by: "code" | "name", type: number | string): DType {
  return find(by === "code" ? "result of element type" : "result of type", by, type).dtype;
}

function find(what: string, by: keyof ElementType, value: number | string): ElementType {
  const found = ELEMENT_TYPES.find((type) => type[by] === value);
  if (found) return found;
  const known = ELEMENT_TYPES.map((type) => type[by === "code" ? "dtype" : by]).join(", ");
  throw new ExecutionError(`${what} ${value}, expected one of: ${known}.`);
}
