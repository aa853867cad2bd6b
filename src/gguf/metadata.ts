import type { ScalarType } from "./scalars.ts";

/** A value that is no array; integers of 64 bits lose what a double cannot hold. */
export type Scalar = string | number | boolean;

/** A value of a file's metadata. */
export type MetadataValue =
  | { readonly type: ScalarType; readonly value: Scalar }
  | { readonly type: "array"; readonly of: ScalarType; readonly values: readonly Scalar[] };

/** What a file says of its model, by key. */
export type Metadata = ReadonlyMap<string, MetadataValue>;

/** A text. */
export function text(value: string): MetadataValue {
  return { type: "string", value };
}

/** A whole number of 32 bits without sign: the type of sizes and counts. */
export function uint32(value: number): MetadataValue {
  return { type: "uint32", value };
}

/** A number in single precision. */
export function float32(value: number): MetadataValue {
  return { type: "float32", value };
}

/** A yes or no. */
export function flag(value: boolean): MetadataValue {
  return { type: "bool", value };
}

/** Several values of one type. */
export function list(of: ScalarType, values: readonly Scalar[]): MetadataValue {
  return { type: "array", of, values };
}
