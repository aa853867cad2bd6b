import type { Node } from "../fx/node.ts";
import type { Module } from "../nn/module.ts";
import { gram } from "../ops/gram.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What is computed of an observed value in each batch, and how the batches are put together. */
export interface Reduction {
  readonly name: string;
  /** Records the reduction of one batch's value. */
  apply(value: Node): Node;
  /** Adds the result of a batch to the total, in place. */
  merge(total: Tensor<"F32">, batch: Tensor<"F32">): void;
}

/** XᵀX of all tokens of all batches: [columns, columns]. */
export const secondMoment: Reduction = {
  name: "second_moment",
  apply: (x) => gram(x),
  merge(total, batch) {
    for (let index = 0; index < total.data.length; index++) total.data[index] += batch.data[index];
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
