import type { Node } from "../fx/node.ts";
import type { TensorType } from "../fx/types.ts";
import type { Module } from "../nn/module.ts";
import type { RangeSearch } from "../observers/observer.ts";
import { add } from "../ops/arithmetic.ts";
import { type ActivationRounding, rangeErrors } from "../ops/fake-quantize.ts";
import { accumulateGram, assembleGram, zeroGram } from "../ops/gram.ts";
import { appendRows, sequenceRange, squareSum } from "../ops/statistics.ts";
import type { Buffers } from "../tensor/buffers.ts";
import { concatenateRows } from "../tensor/concatenate.ts";
import { Tensor } from "../tensor/tensor.ts";

/** What is kept of an observed value: totals that a graph brings forward batch by batch. */
export interface Reduction {
  /** Reductions of one name are the same: of one value they are computed once. */
  readonly name: string;
  /** The totals before the first batch, for a value of this type, in memory of `buffers`. */
  initial(value: TensorType, buffers: Buffers): readonly Tensor<"F32">[];
  /** Whether totals have more rows after each batch. */
  readonly grows?: boolean;
  /** Records the totals after one more batch from those before it. */
  accumulate(value: Node, totals: readonly Node[]): readonly Node[];
  /** Whether a new total may be written over the old one: each old total is read for its own new one alone. */
  readonly inPlace?: boolean;
  /** What a modifier is given after the last batch; it may take over the memory of the totals. */
  finish(totals: readonly Tensor<"F32">[]): Tensor<"F32">;
  /** `value` with what another call of the module, or later batches, gave in it; may be `value`, changed in place. */
  merge(value: Tensor<"F32">, other: Tensor<"F32">): Tensor<"F32">;
}

/** XᵀX of all tokens of all batches: [columns, columns]. */
export const secondMoment: Reduction = {
  name: "second_moment",
  inPlace: true,
  initial: ({ shape }, buffers) => zeroGram(shape.at(-1) as number, buffers),
  accumulate: (x, totals) => totals.map((total, block) => accumulateGram(x, total, { block })),
  finish: assembleGram,
  merge: addInPlace,
};

/** Σ x² of each column over all tokens of all batches: [columns]. */
export const columnEnergy: Reduction = {
  name: "column_energy",
  initial: ({ shape }) => [Tensor.zeros("F32", [shape.at(-1) as number])],
  accumulate: (x, [total]) => [add(total, squareSum(x))],
  finish: ([total]) => total,
  merge: addInPlace,
};

/**
 * Minimum and maximum of each sequence, in order, for each of `groups` runs of neighbouring columns:
 * [sequences, 2, groups].
 */
export function rangeOfSequences(groups: number): Reduction {
  return rowsOfSequences(`range_of_sequences_${groups}`, [2, groups], (x) => sequenceRange(x, { groups }));
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
  const name = `search_of_sequences_${JSON.stringify(attrs)}`;
  return rowsOfSequences(name, [2 + factors.length, rounding.heads], (x) => rangeErrors(x, attrs));
}

/** What `observe` makes of each sequence, of this shape, one after another. */
function rowsOfSequences(name: string, shape: readonly number[], observe: (x: Node) => Node): Reduction {
  return {
    name,
    grows: true,
    initial: () => [Tensor.zeros("F32", [0, ...shape])],
    accumulate: (x, [total]) => [appendRows(total, observe(x))],
    finish: ([total]) => total,
    merge: (value, other) => concatenateRows([value, other]) as Tensor<"F32">,
  };
}

/** Adds one statistic to another, in place. */
export function addInPlace(total: Tensor<"F32">, batch: Tensor<"F32">): Tensor<"F32"> {
  for (let index = 0; index < total.data.length; index++) total.data[index] += batch.data[index];
  return total;
}

/** What a modifier asks to observe: a reduction of what a module reads or returns. Compared by identity. */
export interface Tap {
  readonly module: Module;
  /** Which of the module's arguments; the first by default. */
  readonly value?: number | "output";
  /** What is kept of the value. */
  readonly reduce: Reduction;
}

/** What a tap has seen over all batches. */
export interface Statistic {
  /** What the reduction has made of all batches; its shape is the reduction's. */
  readonly value: Tensor<"F32">;
  /** Rows of all batches: what the reference divides a Hessian by. */
  readonly sequences: number;
}

/** A statistic with what another call of the module, or another part of the batches, gave; may change the first in place. */
export function mergeStatistics(reduce: Reduction, one: Statistic, other: Statistic): Statistic {
  return { value: reduce.merge(one.value, other.value), sequences: one.sequences + other.sequences };
}
