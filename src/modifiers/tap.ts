import type { Node } from "../fx/node.ts";
import type { Module } from "../nn/module.ts";
import type { RangeSearch } from "../observers/observer.ts";
import { type ActivationRounding, rangeErrors } from "../ops/fake-quantize.ts";
import { gram } from "../ops/gram.ts";
import { sequenceRange, squareSum } from "../ops/statistics.ts";
import { concatenateRows } from "../tensor/concatenate.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What is computed of an observed value in each batch, and how the batches are put together. */
export interface Reduction {
  /** Reductions of one name are the same: of one value they are computed once. */
  readonly name: string;
  /** Records the reduction of one batch's value. */
  apply(value: Node): Node;
  /** The total with the result of a batch in it; may be the old one, changed in place. */
  merge(total: Tensor<"F32">, batch: Tensor<"F32">): Tensor<"F32">;
}

/** XᵀX of all tokens of all batches: [columns, columns]. */
export const secondMoment: Reduction = {
  name: "second_moment",
  apply: (x) => gram(x),
  merge: addInPlace,
};

/** Σ x² of each column over all tokens of all batches: [columns]. */
export const columnEnergy: Reduction = {
  name: "column_energy",
  apply: (x) => squareSum(x),
  merge: addInPlace,
};

/**
 * Minimum and maximum of each sequence, in order, for each of `groups` runs of neighbouring columns:
 * [sequences, 2, groups].
 */
export function rangeOfSequences(groups: number): Reduction {
  return {
    name: `range_of_sequences_${groups}`,
    apply: (x) => sequenceRange(x, { groups }),
    merge: (total, batch) => concatenateRows([total, batch]) as Tensor<"F32">,
  };
}

/**
 * Minimum and maximum of each sequence, expanded, and the rounding error in each range that a search tries:
 * [sequences, 2 + factors, heads].
 */
export function searchOfSequences(
  rounding: ActivationRounding,
  { expand, factors, norm }: Pick<RangeSearch, "expand" | "factors" | "norm">,
): Reduction {
  const attrs = { ...rounding, expand, factors, norm };
  return {
    name: `search_of_sequences_${JSON.stringify(attrs)}`,
    apply: (x) => rangeErrors(x, attrs),
    merge: (total, batch) => concatenateRows([total, batch]) as Tensor<"F32">,
  };
}

function addInPlace(total: Tensor<"F32">, batch: Tensor<"F32">): Tensor<"F32"> {
  for (let index = 0; index < total.data.length; index++) total.data[index] += batch.data[index];
  return total;
}

/** What a modifier asks to observe: a reduction of what a module reads or returns. Compared by identity. */
export interface Tap {
  readonly module: Module;
  /** Which of the module's arguments; the first by default. */
  readonly value?: number | "output";
  readonly reduce: Reduction;
}

/** What a tap has seen over all batches. */
export interface Statistic {
  readonly value: Tensor<"F32">;
  /** Rows of all batches: what the reference divides a Hessian by. */
  readonly sequences: number;
}
