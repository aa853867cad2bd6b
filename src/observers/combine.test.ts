import { expect, test } from "vitest";
import { completeArgs } from "../schemes/arguments-schema.ts";
import { computeQParams } from "../schemes/qparams.ts";
import { Tensor } from "../tensor/tensor.ts";
import { chooseRanges, combineAveraging, combineExtremes, combineLast, withoutEmpty } from "./combine.ts";

/** Ranges of three sequences, for one scale. */
const OBSERVED = new Tensor("F32", [3, 2, 1], Float32Array.of(-1, 3, -2, 1, 0.5, 4));
const ARGS = completeArgs({ symmetric: false });

test("all observations, or the last one, give the range", () => {
  expect([...combineExtremes(OBSERVED).min.data, ...combineExtremes(OBSERVED).max.data]).toEqual([-2, 4]);
  expect([...combineLast(OBSERVED).min.data, ...combineLast(OBSERVED).max.data]).toEqual([0.5, 4]);
});

test("sequences of no tokens count for nothing", () => {
  const observed = new Tensor("F32", [2, 2, 1], Float32Array.of(Infinity, -Infinity, -2, 1));
  expect(withoutEmpty(observed)).toEqual(new Tensor("F32", [1, 2, 1], Float32Array.of(-2, 1)));
});

test("a moving average starts with the first observation and takes one hundredth of each later one", () => {
  const range = combineAveraging(OBSERVED, ARGS);
  expect(range.min.data[0]).toBeCloseTo(-0.9949, 6);
  expect(range.max.data[0]).toBeCloseTo(2.9902, 6);
  const { scale, zeroPoint } = computeQParams(range, ARGS, "F32");
  expect(Number(scale.data[0])).toBeCloseTo(0.0156278, 6);
  expect(zeroPoint?.data[0]).toBe(-64);
});

test("the share that a moving average takes may be given", () => {
  const range = combineAveraging(OBSERVED, { ...ARGS, observerKwargs: { averaging_constant: 1 } });
  expect(range).toEqual(combineLast(OBSERVED));
});

test("of the ranges that a search tried, each scale gets the one with the smallest error", () => {
  const errors = [3, 5, 2, 6, 4, 1]; // three factors, two scales
  const observed = new Tensor("F32", [1, 5, 2], Float32Array.of(-1, -2, 1, 2, ...errors));
  const search = { expand: 1, factors: [1, 0.5, 0.25], norm: 2, patience: 5 };
  expect([...chooseRanges(observed, search).data]).toEqual([-0.5, -0.5, 0.5, 0.5]);
  expect([...chooseRanges(observed, { ...search, patience: 1 }).data]).toEqual([-0.5, -0.5, 0.5, 0.5]);
});

test("a search ends when too many steps in a row improved no scale", () => {
  const observed = new Tensor("F32", [1, 6, 1], Float32Array.of(-1, 1, 3, 4, 4, 1));
  const search = { expand: 1, factors: [1, 0.5, 0.25, 0.125], norm: 2, patience: 2 };
  expect([...chooseRanges(observed, search).data]).toEqual([-1, 1]);
  expect([...chooseRanges(observed, { ...search, patience: 3 }).data]).toEqual([-0.125, 0.125]);
});
