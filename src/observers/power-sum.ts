import { rounder } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";

/** Errors are tabulated up to so many units, in so many steps for each. */
const [UNITS, STEPS] = [4, 4096];

/**
 * Σ |rounded − x|^norm · importance over a run of elements.
 *
 * @param unit - about the size of a step between codes; equal errors have equal powers as long as it is the same
 */
export type PowerSum = (x: Float32Array, rounded: Float32Array, unit: number, importance?: Float32Array) => number;

/**
 * Sums powers of errors, each rounded to `dtype`. Powers of errors below 4 units come from a table, between whose entries it
 * is interpolated: the sum over a run of errors of up to half a unit is off by less than 1e-7 of itself.
 */
export function powerSum(norm: number, dtype: FloatDType): PowerSum {
  const table = Float64Array.from({ length: UNITS * STEPS + 2 }, (_, step) => (step / STEPS) ** norm);
  const rd = rounder(dtype);
  return (x, rounded, unit, importance) => {
    const [toSteps, factor] = [STEPS / unit, unit ** norm];
    let sum = 0;
    for (let i = 0; i < x.length; i++) {
      const steps = Math.abs(rd(rounded[i] - x[i])) * toSteps;
      const step = Math.floor(steps);
      const power =
        step < UNITS * STEPS ? table[step] + (table[step + 1] - table[step]) * (steps - step) : (steps / STEPS) ** norm;
      const error = rd(power * factor);
      sum += importance ? Math.fround(error * importance[i]) : error;
    }
    return sum;
  };
}
