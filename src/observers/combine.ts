import { z } from "zod";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { parseWith } from "../schemes/parse.ts";
import type { Range } from "../schemes/qparams.ts";
import { Tensor } from "../tensor/tensor.ts";

/** Takes the next range of one scale into what the ones before gave; called for minima and maxima alike. */
type Fold = (before: number, next: number, isMaximum: boolean) => number;

/** The smallest minimum and the largest maximum of all observations. */
export function combineExtremes(observed: Tensor<"F32">): Range {
  return fold(observed, (before, next, isMaximum) => (isMaximum ? Math.max(before, next) : Math.min(before, next)));
}

/** The last observation alone. */
export function combineLast(observed: Tensor<"F32">): Range {
  return fold(observed, (_, next) => next);
}

const kwargs = z.object({ averaging_constant: z.number().min(0).max(1).default(0.01) });

/** A moving average: each observation has weight c = `averaging_constant` (0.01), what came before 1 − c. */
export function combineAveraging(observed: Tensor<"F32">, { observerKwargs }: QuantizationArgs): Range {
  const { averaging_constant: weight } = parseWith(kwargs, observerKwargs, "observer_kwargs");
  const [kept, taken] = [Math.fround(1 - weight), Math.fround(weight)];
  return fold(observed, (before, next) => Math.fround(before * kept) + Math.fround(next * taken));
}

function fold({ shape: [sequences, , scales], data }: Tensor<"F32">, take: Fold): Range {
  const state = data.slice(0, 2 * scales);
  for (let sequence = 1; sequence < sequences; sequence++) {
    const start = sequence * 2 * scales;
    for (let i = 0; i < state.length; i++) state[i] = take(state[i], data[start + i], i >= scales);
  }
  return {
    min: new Tensor("F32", [scales], state.slice(0, scales)),
    max: new Tensor("F32", [scales], state.slice(scales)),
  };
}
