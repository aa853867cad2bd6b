import type { Node } from "../fx/node.ts";
import type { TensorType } from "../fx/types.ts";
import type { Module } from "../nn/module.ts";
import { accumulateGram, assembleGram, gramPanels } from "../ops/gram.ts";
import { Tensor } from "../tensor/tensor.ts";

/** What is kept of an observed value: totals that a graph brings forward batch by batch. */
export interface Reduction {
  readonly name: string;
  /** The totals before the first batch, for a value of this type. */
  initial(value: TensorType): readonly Tensor<"F32">[];
  /** Records the totals after one more batch from those before it. */
  accumulate(value: Node, totals: readonly Node[]): readonly Node[];
  /** Whether a new total may be written over the old one: each old total is read for its own new one alone. */
  readonly inPlace?: boolean;
  /** What a modifier is given after the last batch. */
  finish(totals: readonly Tensor<"F32">[]): Tensor<"F32">;
  /** Adds what another call of the module gave to `value`, in place. */
  merge(value: Tensor<"F32">, other: Tensor<"F32">): void;
}

/** XᵀX of all tokens of all batches: [columns, columns]. */
export const secondMoment: Reduction = {
  name: "second_moment",
  inPlace: true,
  initial: ({ shape }) => gramPanels(shape.at(-1) as number).map((panel) => Tensor.zeros("F32", panel)),
  accumulate: (x, totals) => totals.map((total, panel) => accumulateGram(x, total, { panel })),
  finish: assembleGram,
  merge(value, other) {
    for (let index = 0; index < value.data.length; index++) value.data[index] += other.data[index];
  },
};

/** What a modifier asks to observe: a reduction of a module's first input. Compared by identity. */
export interface Tap {
  readonly module: Module;
  readonly reduce: Reduction;
}

/** What a tap has seen over all batches. */
export interface Statistic {
  readonly value: Tensor<"F32">;
  /** Rows of all batches: what the reference divides a Hessian by. */
  readonly sequences: number;
}
