import fc from "fast-check";
import { expect, test } from "vitest";
import { completeArgs } from "../schemes/arguments-schema.ts";
import { computeQParams } from "../schemes/qparams.ts";
import { dequantizeWeight, quantizeWeight } from "../schemes/quantize.ts";
import { rounder, toFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { kBlockMse } from "./k-blocks.ts";
import { memorylessMinmax } from "./minmax.ts";
import type { Observer } from "./observer.ts";

const SHIFTED = completeArgs({ numBits: 4, groupSize: 32, symmetric: false, zpDtype: "torch.float32" });
const SYMMETRIC = completeArgs({ numBits: 6, groupSize: 16 });

/** Two rows of weights about as large as their neighbours, some groups three times as large as others. */
const weights = (columns: number) =>
  fc.nat().map((seed) => {
    const size = (i: number) => 1 + ((i >> 5) % 3);
    const data = Float32Array.from({ length: 2 * columns }, (_, i) => size(i) * Math.sin(seed + i * i) ** 3);
    return new Tensor("F32", [2, columns], data);
  });

function weightedError(
  observer: Observer,
  weight: Tensor<"F32">,
  args: typeof SHIFTED,
  importance: Float32Array,
): number {
  const range = observer.observe(weight, args, "w", importance);
  const { data } = dequantizeWeight(quantizeWeight(weight, computeQParams(range, args, "F32"), args));
  return weight.data.reduce((sum, w, i) => sum + importance[i % importance.length] * (w - data[i]) ** 2, 0);
}

/** Whether all values are whole multiples of a float16 number, of which the largest is `largest` times it. */
function expectMultiples(values: Float32Array, largest: number): void {
  const unit = rounder("F16")(Math.max(...values) / largest);
  const multiples = Array.from(values, (value) => value / unit);
  expect(Math.max(...multiples)).toBeCloseTo(largest, 3);
  for (const multiple of multiples) expect(multiple).toBeCloseTo(Math.round(multiple), 3);
}

test("scales and offsets of 4 bits, asymmetric, are whole multiples of one number for each block, up to 63", () => {
  fc.assert(
    fc.property(weights(256), (weight) => {
      const { scale, zeroPoint } = computeQParams(kBlockMse.observe(weight, SHIFTED, "w"), SHIFTED, "F32");
      const offsets = toFloat32(scale).data.map((one, group) => one * (8 + (zeroPoint?.data[group] ?? 0)));
      for (let row = 0; row < 2; row++) {
        expectMultiples(toFloat32(scale).data.subarray(row * 8, (row + 1) * 8), 63);
        expectMultiples(offsets.subarray(row * 8, (row + 1) * 8), 63);
      }
    }),
    { numRuns: 30 },
  );
});

test("scales of 6 bits, symmetric, are whole multiples of one number for each block, up to 127", () => {
  fc.assert(
    fc.property(weights(256), (weight) => {
      const { scale } = computeQParams(kBlockMse.observe(weight, SYMMETRIC, "w"), SYMMETRIC, "F32");
      for (let row = 0; row < 2; row++) expectMultiples(toFloat32(scale).data.subarray(row * 16, (row + 1) * 16), 127);
    }),
    { numRuns: 30 },
  );
});

test("a row that is no whole blocks has scales that suit its groups better than minimum and maximum do", () => {
  fc.assert(
    fc.property(weights(96), (weight) => {
      const importance = Float32Array.from({ length: 96 }, (_, i) => 1 + (i % 7));
      expect(weightedError(kBlockMse, weight, SHIFTED, importance)).toBeLessThanOrEqual(
        1.001 * weightedError(memorylessMinmax, weight, SHIFTED, importance),
      );
    }),
    { numRuns: 30 },
  );
});

test("columns with large inputs are rounded finer", () => {
  const weight = new Tensor(
    "F32",
    [1, 256],
    Float32Array.from({ length: 256 }, (_, i) => Math.sin(i * i) + (i % 32 === 5 ? 8 : 0)),
  );
  const importance = Float32Array.from({ length: 256 }, (_, i) => (i % 32 === 5 ? 0.001 : 1));
  const even = new Float32Array(256).fill(1);
  const kBlocksFor = (given: Float32Array): Observer => ({
    ...kBlockMse,
    observe: (w, a, where) => kBlockMse.observe(w, a, where, given),
  });
  expect(weightedError(kBlocksFor(importance), weight, SHIFTED, importance)).toBeLessThan(
    0.7 * weightedError(kBlocksFor(even), weight, SHIFTED, importance),
  );
});

test("a group of zeros beside others does not make their scales coarser", () => {
  const weight = new Tensor(
    "F32",
    [1, 256],
    Float32Array.from({ length: 256 }, (_, i) => (i < 32 ? 0 : 1e-3 * Math.sin(i))),
  );
  const { scale } = computeQParams(kBlockMse.observe(weight, SHIFTED, "w"), SHIFTED, "F32");
  expect(scale.data[0]).toBeLessThan(Math.max(...scale.data.subarray(1)));
});
