import { expect, test } from "vitest";
import { completeArgs } from "../../schemes/arguments-schema.ts";
import { presetScheme } from "../../schemes/presets.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { equalizationFactors, smoothingFactors } from "./factors.ts";
import { factorsAt, gridPoints, quantizeScaled, type WeightToQuantize, weightMeans } from "./grid.ts";

const RANGES = Float64Array.of(3, 10, 0.25);
const WEIGHT = new Tensor("F32", [2, 3], Float32Array.of(0.5, 0.1, 2, -1, 0.2, 0.5));

test.each([
  [0.5, [1.2247449, 5, 0.25]],
  [0.8, [2.0964813, 7.5785832, 0.25]],
])("SmoothQuant's factors of strength %d are those that the reference computes", (strength, expected) => {
  for (const [j, factor] of smoothingFactors(RANGES, [WEIGHT], strength).entries())
    expect(factor).toBeCloseTo(expected[j], 6);
});

test("so are those of logarithmic equalization", () => {
  for (const [j, factor] of equalizationFactors(RANGES).entries())
    expect(factor).toBeCloseTo([1.2920297, 2.7894294, 0.2136889][j], 6);
});

test("the largest weight of several counts; a column of zeros takes the range; no factor is below 1e-5", () => {
  const other = new Tensor("F32", [1, 3], Float32Array.of(-4, 0, 0));
  const zeros = new Tensor("F32", [1, 3], Float32Array.of(1, 0, 1));
  expect([...smoothingFactors(Float64Array.of(2, 3, 0), [zeros, other], 0.5)]).toEqual([0.5, 3, 1e-5]);
});

test("AWQ's grid tries no scaling first where weights count, and ends of both kinds", () => {
  expect(gridPoints(true, 4)).toEqual([
    [0, false],
    [0, true],
    [0.5, true],
    [1, true],
  ]);
  expect(gridPoints(false, 3)).toEqual([
    [0, false],
    [0.5, false],
    [1, false],
  ]);
  expect(gridPoints("both", 5)).toEqual([
    [0, false],
    [0, true],
    [1, false],
    [1, true],
  ]);
});

test("AWQ's factors are balanced about 1, and ratio 0 without weights scales nothing", () => {
  const [x, w] = [Float64Array.of(4, 1, 0.25), Float64Array.of(0.5, 0.25, 0.5)];
  expect([...factorsAt([0, false], x, w)]).toEqual([1, 1, 1]);
  expect([...factorsAt([1, false], x, w)]).toEqual([4, 1, 0.25]);
  const raw = [2 / (Math.SQRT1_2 + 1e-4), 1 / (0.5 + 1e-4), 0.5 / (Math.SQRT1_2 + 1e-4)];
  const norm = Math.sqrt(raw[0] * raw[2]);
  expect([...factorsAt([0.5, true], x, w)]).toEqual(raw.map((value) => value / norm));
});

test("a column that is never active gets the least factor before balancing, not 0", () => {
  const factors = factorsAt([1, false], Float64Array.of(0, 1), Float64Array.of(1, 1));
  expect(factors[0]).toBeCloseTo(0.01, 12);
  expect(factors[1]).toBeCloseTo(100, 12);
});

test("means of weights are relative to what shares a scale with them", () => {
  const values = new Tensor("F32", [1, 4], Float32Array.of(-2, 1, 0.25, 0.5));
  const args = completeArgs({ numBits: 4, strategy: "group", groupSize: 2 });
  const [a, b, c, d] = weightMeans([{ values, args, dtype: "F32", path: "w" }]);
  expect([a, b, c, d].map((mean) => Number(mean.toFixed(5)))).toEqual([1, 0.5, 0.5, 1]);
});

test("a weight that is quantized once it is scaled comes back in its own scale", () => {
  const values = new Tensor("F32", [1, 2], Float32Array.of(7.5, 0.4));
  const args = completeArgs({ numBits: 4, strategy: "channel" });
  const weight = { values, args, dtype: "F32", path: "w" } as const;
  expect([...quantizeScaled([weight], Float64Array.of(1, 1))[0].data]).toEqual([7, 0]);
  expect([...quantizeScaled([weight], Float64Array.of(1, 2.5))[0].data]).toEqual([7, Math.fround(0.4)]);
});

test("weights that are quantized together share a global scale", () => {
  const { weights: args } = presetScheme("NVFP4A16", ["Linear"]);
  if (!args) throw new Error("NVFP4A16 without weights");
  const weight = (factor: number): WeightToQuantize => {
    const values = Float32Array.from({ length: 16 }, (_, index) => factor * (index - 7.3));
    return { values: new Tensor("F32", [1, 16], values), args, dtype: "F32", path: "w" };
  };
  const ones = new Float64Array(16).fill(1);
  const alone = quantizeScaled([weight(1)], ones)[0].data;
  expect(quantizeScaled([weight(1), weight(0.5)], ones)[0].data).toEqual(alone);
  expect(quantizeScaled([weight(1), weight(3)], ones)[0].data).not.toEqual(alone);
});
