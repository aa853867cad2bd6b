import { expect, test } from "vitest";
import { Comparison, decibels } from "./comparison.ts";

function compare(...pairs: [found: number[], expected: number[]][]): Comparison {
  const comparison = new Comparison();
  for (const [found, expected] of pairs) comparison.add(Float32Array.from(found), Float32Array.from(expected));
  return comparison;
}

test("energies and products are summed over all that is added", () => {
  const { signalToNoise, cosine } = compare(
    [
      [3, 0],
      [3, 4],
    ],
    [[1], [0]],
  );
  expect(signalToNoise).toBeCloseTo(decibels(25 / 17), 12);
  expect(cosine).toBeCloseTo(9 / Math.sqrt(25 * 10), 12);
});

test("equal values have no noise, infinite ones among them", () => {
  const { signalToNoise, cosine } = compare([
    [1, -Infinity],
    [1, -Infinity],
  ]);
  expect([signalToNoise, cosine]).toEqual([Number.POSITIVE_INFINITY, 1]);
});

test("zeros in place of values have the energy of the values as noise", () => {
  const { signalToNoise, cosine } = compare([
    [0, 0],
    [3, 4],
  ]);
  expect([signalToNoise, cosine]).toEqual([0, 0]);
});
