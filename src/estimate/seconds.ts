import type { Rates } from "./rates.ts";
import type { Step } from "./steps.ts";

/** Seconds that a run takes, by what it does. */
export interface Seconds {
  /** Running the model on the calibration data. */
  readonly calibrationAndPropagation: number;
  /** What the modifiers do with the weights. */
  readonly compression: number;
  /** Reading and writing weights, and checking what was written. */
  readonly disk: number;
}

/** A run's products take longer than one that is repeated alone: their operands come from memory. */
const RUN_OVERHEAD = 1.15;

/** Seconds in which a process starts, reads the data and checks the subgraphs against the model. */
const START = 0.5;

/** Counted work at measured rates. */
export function predictSeconds(steps: readonly Step[], outputBytes: number, rates: Rates): Seconds {
  let [running, compression, disk] = [START, 0, outputBytes * rates.outputByte];
  for (const { runs, runCount, moments, rounded, parameters } of steps) {
    running +=
      runs.multiplyAdds * rates.multiplyAdd * RUN_OVERHEAD + runs.bytesMoved * rates.byteMoved + runCount * rates.call;
    compression += rounded * rates.roundedWeight;
    for (const moment of moments) {
      const { columns, rows } = moment;
      compression += roundingProducts(moment) * rates.multiplyAdd;
      compression += columns * rows * rates.roundedColumn + columns ** 2 * rates.momentEntry;
    }
    disk += parameters * rates.parameter;
  }
  return { calibrationAndPropagation: running, compression, disk };
}

/**
 * Multiply-adds of GPTQ (arXiv:2210.17323) in products: half a factorisation's n³/3, what each column hands on, and the energy of
 * the output that the error is compared with.
 */
export function roundingProducts({ columns, rows }: Step["moments"][number]): number {
  return columns ** 3 / 6 + (rows * columns ** 2) / 2 + rows * columns ** 2;
}
