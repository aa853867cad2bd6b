import { z } from "zod";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { parseWith } from "../schemes/parse.ts";
import type { Range } from "../schemes/qparams.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { RangeSearch } from "./observer.ts";

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

/** What was observed of sequences that had any tokens: of none, the minimum is above the maximum. */
export function withoutEmpty({ shape: [sequences, lines, scales], data }: Tensor<"F32">): Tensor<"F32"> {
  const size = lines * scales;
  const seen = Array.from({ length: sequences }, (_, sequence) =>
    data.subarray(sequence * size, (sequence + 1) * size),
  );
  const kept = seen.filter((found) => !(found[0] > found[scales])); // NaN stays
  const joined = new Float32Array(kept.length * size);
  for (const [index, found] of kept.entries()) joined.set(found, index * size);
  return new Tensor("F32", [kept.length, lines, scales], joined);
}

/**
 * The best range of each sequence, among those that a search tried.
 *
 * @param observed - [sequences, 2 + factors, scales]: minima, maxima, and the rounding error for each factor of them
 * @returns [sequences, 2, scales]
 */
export function chooseRanges(observed: Tensor<"F32">, { factors, patience }: RangeSearch): Tensor<"F32"> {
  const [sequences, lines, scales] = observed.shape;
  const chosen = Tensor.zeros("F32", [sequences, 2, scales]);
  for (let sequence = 0; sequence < sequences; sequence++) {
    const found = observed.data.subarray(sequence * lines * scales, (sequence + 1) * lines * scales);
    for (const [scale, step] of bestSteps(found.subarray(2 * scales), scales, patience).entries()) {
      const by = Math.fround(factors[step]);
      for (const line of [0, 1])
        chosen.data[(2 * sequence + line) * scales + scale] = found[line * scales + scale] * by;
    }
  }
  return chosen;
}

/** The step with the smallest error of each scale, until `patience` steps in a row improve none. */
function bestSteps(errors: Float32Array, scales: number, patience: number): Int32Array {
  const [best, steps] = [new Float32Array(scales).fill(Number.POSITIVE_INFINITY), new Int32Array(scales)];
  let withoutGain = 0;
  for (let step = 0; step < errors.length / scales && withoutGain < patience; step++) {
    withoutGain++;
    for (let scale = 0; scale < scales; scale++) {
      const error = errors[step * scales + scale];
      if (!(error < best[scale])) continue;
      [best[scale], steps[scale], withoutGain] = [error, step, 0];
    }
  }
  return steps;
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
