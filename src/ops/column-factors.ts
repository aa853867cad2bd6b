import type { Attributes } from "../fx/node.ts";
import type { TensorType } from "../fx/types.ts";

/**
 * What becomes of positive factors on single columns of an operand. A column is one of the values that an operand has for
 * each token: [batch, seq, heads, size] has heads · size of them, in that order.
 */
export type ColumnFactors =
  /** The result has them too: each of its columns has the factor of the operand's column that `source` names. */
  | { readonly effect: "kept"; readonly source: (column: number) => number }
  /** Inverse factors on the columns of this other operand, a weight, take away their effect. */
  | { readonly effect: "undone"; readonly by: number }
  /** Only the shape is read. */
  | { readonly effect: "none" };

/** A parameter that has one row for each column of a result: dividing row and column is the same. */
export interface ColumnParameter {
  /** Which operand it is. */
  readonly operand: number;
  /** What is added to the stored values before they are used: 1 in Gemma's norms. */
  readonly offset: number;
}

/** How an operator treats factors on columns; what it does not declare, it is taken to change in another way. */
export interface ColumnRules {
  /** All parameters that must be divided by s so that the result is divided by s. */
  readonly parameters?: readonly ColumnParameter[];
  /** What becomes of factors on an operand; undefined where they do not show as factors in the result. */
  factors?(operand: number, attrs: Attributes, types: readonly TensorType[]): ColumnFactors | undefined;
}

const KEPT: ColumnFactors = { effect: "kept", source: (column) => column };
const NONE: ColumnFactors = { effect: "none" };

/** Factors on any operand show in the same column of the result. */
export const keepsFactors: ColumnRules = { factors: () => KEPT };

/** Factors on operand 0 show in the same column of the result. */
export const keepsFirstFactors: ColumnRules = { factors: (operand) => (operand === 0 ? KEPT : undefined) };

/** No operand's values are read. */
export const readsNoValues: ColumnRules = { factors: () => NONE };

/** x Wᵀ, whose rows are divided with the given operands, and whose columns undo factors on x. */
export function linearRules(parameters: readonly number[]): ColumnRules {
  return {
    ...scaledBy(parameters),
    factors: (operand) => (operand === 0 ? { effect: "undone", by: 1 } : undefined),
  };
}

/** The result is divided with these operands, to whose values `offset` is added. */
export function scaledBy(parameters: readonly number[], offset = 0): ColumnRules {
  return { parameters: parameters.map((operand) => ({ operand, offset })) };
}
