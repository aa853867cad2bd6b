import { expect, test } from "vitest";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { completeArgs } from "../schemes/arguments-schema.ts";
import { computeQParams } from "../schemes/qparams.ts";
import { Tensor } from "../tensor/tensor.ts";
import { imatrixMse, memorylessMse, nvfp4ExpandedMse } from "./mse.ts";

const INT4 = completeArgs({ numBits: 4, groupSize: 8 });

/** Minimum, maximum and scale that the observer gives one group of eight values. */
function observe(values: number[], observer = memorylessMse, args = INT4, importance?: number[]) {
  const weight = new Tensor("F32", [1, 8], Float32Array.from(values));
  const range = observer.observe(weight, args, "m", importance && Float32Array.from(importance));
  const { scale } = computeQParams(range, args, "F32");
  return [range.min.data[0], range.max.data[0], Number(scale.data[0])];
}

test("a range is shrunk where that makes the error smaller", () => {
  const found = observe([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]);
  expect(found).toEqual([0.098, 0.784, 0.1045333].map((value) => expect.closeTo(value, 6)));
});

test("a range is left whole where no shrinking makes the error smaller", () => {
  const [, , scale] = observe([0.31, -0.62, 0.45, 0.2, -0.33, 0.58, -0.12, 0.9]);
  expect(scale).toBeCloseTo(0.12, 6);
});

test("a column that no input reaches does not hold up the range", () => {
  const values = [0.1, -0.12, 0.09, 0.11, -0.1, 0.12, 0.08, 1];
  const toTheEnd = { ...INT4, observerKwargs: { patience: 0 } };
  const [, plain] = observe(values, imatrixMse, toTheEnd);
  const [, weighted] = observe(values, imatrixMse, toTheEnd, [1, 1, 1, 1, 1, 1, 1, 0]);
  expect(plain).toBeGreaterThan(0.5);
  expect(weighted).toBeLessThan(0.25);
});

test("importance that tells no column from another is as good as none", () => {
  const values = [0.31, -0.62, 0.45, 0.2, -0.33, 0.58, -0.12, 0.9];
  expect(observe(values, imatrixMse, INT4, Array(8).fill(0))).toEqual(observe(values, imatrixMse));
});

test("the expanded search may widen a range", () => {
  const args = completeArgs({ numBits: 4, type: "float", strategy: "tensor_group", groupSize: 8 });
  const [, max] = observe(
    [4, 3.4, 1, 0.5, 0.25, 0.1, 0.9, 2.1].map((value) => value / 4),
    nvfp4ExpandedMse,
    args,
  );
  expect(max).toBeGreaterThan(1);
});

test("arguments of the search are taken, and checked by name", () => {
  const withKwargs = (observerKwargs: QuantizationArgs["observerKwargs"]) => ({ ...INT4, observerKwargs });
  expect(memorylessMse.search?.(withKwargs({ maxshrink: 0.5, grid: 4 }))).toMatchObject({ factors: [1, 0.75] });
  expect(imatrixMse.search?.(withKwargs({ maxshrink: 0.5, grid: 4, patience: 0 }))).toMatchObject({
    factors: [1, 0.75, 0.5],
    patience: Number.POSITIVE_INFINITY,
  });
  expect(() => memorylessMse.search?.(withKwargs({ expand: 0.5 }))).toThrow(
    "observer_kwargs.expand: found 0.5, expected at least 1.",
  );
});
