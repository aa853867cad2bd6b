import fc from "fast-check";
import { expect, test } from "vitest";
import { completeArgs } from "../schemes/arguments-schema.ts";
import { computeQParams } from "../schemes/qparams.ts";
import { dequantizeWeight, quantizeWeight } from "../schemes/quantize.ts";
import { rounder } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { kBlockMse } from "./k-blocks.ts";
import { memorylessMinmax } from "./minmax.ts";
import type { Observer } from "./observer.ts";

const SHIFTED = completeArgs({ numBits: 4, groupSize: 32, symmetric: false });
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

test.each([
  ["4 bits, asymmetric", SHIFTED, 8, 63],
  ["6 bits, symmetric", SYMMETRIC, 16, 127],
] as const)(
  "scales of %s are whole multiples of a float16 number, the largest of each block the most that there is",
  (_, args, groups, largest) => {
    fc.assert(
      fc.property(weights(256), (weight) => {
        const { scale } = computeQParams(kBlockMse.observe(weight, args, "w"), args, "F32");
        for (let row = 0; row < 2; row++) {
          const block = Array.from(scale.data.subarray(row * groups, (row + 1) * groups));
          const unit = rounder("F16")(Math.max(...block) / largest);
          const multiples = block.map((one) => one / unit);
          expect(Math.max(...multiples)).toBeCloseTo(largest, 3);
          for (const multiple of multiples) expect(multiple).toBeCloseTo(Math.round(multiple), 3);
        }
      }),
      { numRuns: 30 },
    );
  },
);

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
    Float32Array.from({ length: 256 }, (_, i) => Math.sin(i * i) + (i % 32 === 5 ? 3 : 0)),
  );
  const importance = Float32Array.from({ length: 256 }, (_, i) => (i % 32 === 5 ? 0.001 : 1));
  const even = new Float32Array(256).fill(1);
  const kBlocksFor = (given: Float32Array): Observer => ({
    ...kBlockMse,
    observe: (w, a, where) => kBlockMse.observe(w, a, where, given),
  });
  expect(weightedError(kBlocksFor(importance), weight, SHIFTED, importance)).toBeLessThan(
    0.8 * weightedError(kBlocksFor(even), weight, SHIFTED, importance),
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
