import type { TensorType } from "../fx/types.ts";

/**
 * What becomes of a rotation of the last dimension of a value, x → x R, in an operator. One without such a rule changes
 * values in a way that no rotation survives.
 */
export type BasisRule =
  /** The result is rotated if all of these operands are; the others must not be. */
  | { readonly kind: "carries"; operands(types: readonly TensorType[]): readonly number[] }
  /** Operand 0 times a weight, whose axis `reads` is summed over and whose other axis is the result's, plus a bias. */
  | { readonly kind: "multiplies"; readonly reads: 0 | 1; readonly bias?: number }
  /** Rows of operand 1. */
  | { readonly kind: "looksUp" }
  /** Brings operand 0 to unit size, or to mean 0 before, in any basis; then scales by operand 1 + `offset`, adds a bias. */
  | { readonly kind: "norms"; readonly offset: number; readonly bias?: number; readonly centres: boolean }
  /** Takes columns of its operand as they are: which, its rule for factors on columns tells. */
  | { readonly kind: "selects" }
  /** Zeros, which are the same in every basis. */
  | { readonly kind: "zeros" }
  /** Heads of operand 2, each a mean over tokens: a rotation of the columns of each head is one of the result's heads. */
  | { readonly kind: "attends" };

/** The result is rotated with these operands. */
export function carriesBasis(...operands: readonly number[]): BasisRule {
  return { kind: "carries", operands: () => operands };
}

/** A product of two: an operand keeps its rotation where the other has one value for all columns. */
export const carriesThroughFactors: BasisRule = {
  kind: "carries",
  operands: (types) => types.flatMap((_, operand) => (types[1 - operand].shape.at(-1) === 1 ? [operand] : [])),
};
