import { expect, test } from "vitest";
import { predictMemory } from "./memory.ts";
import { predictSeconds } from "./seconds.ts";
import type { Step } from "./steps.ts";

const step: Step = {
  runs: { multiplyAdds: 0, bytesMoved: 0, peakBytes: 1000 },
  runCount: 0,
  parameters: 10,
  totalBytes: 30,
  moments: [],
  rounded: 0,
  intermediateBytes: 500,
};

test("the step that needs most decides, and intermediates take no more than their budget", () => {
  const larger = { ...step, totalBytes: 3000 };
  const { subgraph, intermediates } = predictMemory([step, larger, step], { fixed: 1, memoryBudget: 400 });
  expect([subgraph, intermediates]).toEqual([40 + 3000 + 1000, 400]);
});

test("weights that share a second moment are foreseen with it, its factor and what is kept of them while they are rounded", () => {
  const [columns, rows] = [100, 200];
  const { subgraph } = predictMemory([{ ...step, moments: [{ columns, rows }] }], { fixed: 1 });
  expect(subgraph).toBe(40 + rows * columns + 4 * columns ** 2 + 2 * columns ** 2 + (2 + 13) * rows * columns);
});

test("garbage grows with the subgraph, up to a limit", () => {
  const garbageOf = (totalBytes: number) => predictMemory([{ ...step, totalBytes }], { fixed: 1 }).garbage;
  expect(garbageOf(2000) - garbageOf(1000)).toBe(2 * 1000);
  expect(garbageOf(2e9)).toBe(garbageOf(1e9));
});

test("time is the start, and work times rates", () => {
  const rates = { multiplyAdd: 1, byteMoved: 10, call: 0, parameter: 2, roundedColumn: 0, momentEntry: 0 };
  const work = { ...step, runs: { multiplyAdds: 20, bytesMoved: 4, peakBytes: 0 }, rounded: 5 };
  expect(predictSeconds([work], 7, { ...rates, roundedWeight: 6, outputByte: 1 })).toEqual({
    calibrationAndPropagation: 0.5 + 23 + 40, // the start; products at less than their rate alone; what is moved
    compression: 30,
    disk: 7 + 20,
  });
});
