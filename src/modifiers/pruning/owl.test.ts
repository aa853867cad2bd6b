import { describe, expect, test } from "vitest";
import { outlierRatio, owlSparsities } from "./owl.ts";

test("the outlier ratio is the percentage of scores above M times the mean of all parts", async () => {
  async function* scores() {
    yield Float32Array.of(1, 1, 1, 1, 8);
    yield Float32Array.of(2, 2, 2, 2, 0);
  }
  expect(await outlierRatio(scores, 3)).toBe(10); // mean 2, one of ten above 6
  expect(await outlierRatio(scores, 5)).toBe(0);
});

describe("the sparsities of layers", () => {
  test("are the formula of the paper's code", () => {
    // ratios 1, 2, 5 become 0, 0.05, 0.2, whose mean is 1/12
    const found = owlSparsities([1, 2, 5], { sparsity: 0.5, spread: 0.1 });
    const expected = [0.5 + 1 / 12, 0.5 + 1 / 12 - 0.05, 0.5 + 1 / 12 - 0.2];
    for (const [index, sparsity] of found.entries()) expect(sparsity).toBeCloseTo(expected[index], 12);
  });

  test("are all the mean where no layer has more outliers than another", () => {
    expect(owlSparsities([3, 3], { sparsity: 0.6, spread: 0.1 })).toEqual([0.6, 0.6]);
    expect(owlSparsities([3], { sparsity: 0.6, spread: 0.1 })).toEqual([0.6]);
  });
});
