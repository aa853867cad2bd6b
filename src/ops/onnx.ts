import type { Tensor } from "../tensor/tensor.ts";

/** An attribute of an ONNX node. A plain number is an integer; {@link float} marks the others. */
export type OnnxAttribute = number | string | readonly number[] | { readonly float: number };

/** What an ONNX node reads: another node's result, a named value, a constant, or nothing (an optional input). */
export type OnnxInput = OnnxExpression | OnnxResult | OnnxValue | Tensor | null;

/** A value that the graph around an operator provides: an input of the operator. */
export interface OnnxValue {
  /** The name of the value. */
  readonly value: string;
}

/** One ONNX node as plain data. Nested in one another, they form what an operator lowers to. */
export interface OnnxExpression {
  /** Name of the ONNX operator. */
  readonly opType: string;
  /** "" (the default) for ONNX's own operators, "com.microsoft" for ONNX Runtime's. */
  readonly domain?: string;
  /** Null for an optional one that is left out. */
  readonly inputs: readonly OnnxInput[];
  readonly attributes?: Readonly<Record<string, OnnxAttribute>>;
  /** How many results the node has; 1 by default. The expression stands for the first. */
  readonly results?: number;
}

/** A later result of a node that has several. */
export interface OnnxResult {
  readonly of: OnnxExpression;
  /** Its index: 1 for the second. */
  readonly result: number;
}

/** Marks a number as a floating-point attribute. */
export function float(value: number): OnnxAttribute {
  return { float: value };
}

/** Short form of an expression. */
export function onnx(
  opType: string,
  inputs: readonly OnnxInput[],
  attributes?: Readonly<Record<string, OnnxAttribute>>,
  domain?: OnnxExpression["domain"],
): OnnxExpression {
  return { opType, inputs, attributes, domain };
}
