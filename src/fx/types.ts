import type { DType } from "../tensor/dtype.ts";

/** A dimension: a number, or the name of one that varies from run to run ("batch", "seq"). */
export type Dim = number | string;

/** Dtype and shape of one tensor. */
export interface TensorType {
  readonly dtype: DType;
  /** Sizes, or names of sizes that vary from batch to batch. */
  readonly shape: readonly Dim[];
}

/** What a module returns when it returns several values, such as a rotary table's cos and sin. */
export interface TupleType {
  readonly elements: readonly TensorType[];
}

/** What is known of a traced value. */
export type ValueType = TensorType | TupleType;

/** Whether a value is several tensors. */
export function isTuple(type: ValueType): type is TupleType {
  return "elements" in type;
}

/** The tensors of a value, one or several. */
export function tensorTypes(type: ValueType): readonly TensorType[] {
  return isTuple(type) ? type.elements : [type];
}

/** Short form for `{ dtype: "F32", shape }`. */
export function f32(...shape: Dim[]): TensorType {
  return { dtype: "F32", shape };
}

/** Short form for `{ dtype: "I64", shape }`. */
export function i64(...shape: Dim[]): TensorType {
  return { dtype: "I64", shape };
}

/** Short form for `{ dtype: "BOOL", shape }`. */
export function bool(...shape: Dim[]): TensorType {
  return { dtype: "BOOL", shape };
}

/** `F32[batch,seq,64]`, or `(F32[…], F32[…])` for a tuple. */
export function formatType(type: ValueType): string {
  if (isTuple(type)) return `(${type.elements.map(formatType).join(", ")})`;
  return `${type.dtype}[${type.shape.join(",")}]`;
}
