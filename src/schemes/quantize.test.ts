import "../../test/matchers.ts";
import fc from "fast-check";
import { expect, test } from "vitest";
import { fromFloat32, toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { QuantizationArgs } from "./arguments.ts";
import { completeArgs } from "./arguments-schema.ts";
import { computeQParams } from "./qparams.ts";
import { dequantizeWeight, quantizeWeight } from "./quantize.ts";
import { forEachRun, tilingOf } from "./tiling.ts";

const WEIGHT = matrix([
  [-1, -0.5, 0.25, 0.7],
  [0.2, 0.4, 0.6, 0.9],
]);

test("symmetric codes of 4 bits use 7.5 steps on either side", () => {
  const { codes, scale, zeroPoint } = roundToNearest(WEIGHT, { numBits: 4, strategy: "channel" });
  expect(scale).toBeAllClose({ shape: [2, 1], data: [0.13333334, 0.12] }, { atol: 1e-8 });
  expect(Array.from(codes.data)).toEqual([-7, -4, 2, 5, 2, 3, 5, 7]);
  expect(zeroPoint).toBeUndefined();
});

test("asymmetric codes of 4 bits use the whole range from 0 to the largest value", () => {
  const quantized = roundToNearest(WEIGHT, { numBits: 4, strategy: "channel", symmetric: false });
  expect(quantized.scale).toBeAllClose({ shape: [2, 1], data: [0.11333334, 0.06] }, { atol: 1e-8 });
  expect(Array.from(quantized.zeroPoint?.data ?? [])).toEqual([1, -8]);
  expect(Array.from(quantized.codes.data)).toEqual([-8, -3, 3, 7, -5, -1, 2, 7]);
  expect(Array.from(dequantizeWeight(quantized).data.subarray(0, 4))).toEqual(
    [-1.02, -0.4533, 0.2267, 0.68].map((value) => expect.closeTo(value, 4)),
  );
});

test.each([
  ["F32", [127, -127, 64, 0]],
  ["BF16", [127, -126, 64, 0]],
] as const)("a weight of dtype %s is quantized in that dtype", (dtype, codes) => {
  const weight = fromFloat32(matrix([[1, -0.996, 0.5, 0]]), dtype);
  expect(Array.from(roundToNearest(weight, { strategy: "channel" }).codes.data)).toEqual(codes);
});

test("a weight in F32 with a scale in BF16 is quantized in F32", () => {
  const scale = fromFloat32(matrix([[0.00787353515625]]), "BF16");
  const { codes } = quantizeWeight(matrix([[1, -0.9968]]), { scale }, completeArgs({ strategy: "channel" }));
  expect(Array.from(codes.data)).toEqual([127, -127]); // −126.6, which BF16 has as −126.5
});

test.each(["F32", "BF16", "F16"] as const)("values beyond the range are clamped in %s", (dtype) => {
  const scale = fromFloat32(matrix([[0.5]]), dtype);
  const weight = fromFloat32(matrix([[-100, 100, 3.5, -4]]), dtype);
  const { codes } = quantizeWeight(weight, { scale }, completeArgs({ numBits: 4, strategy: "channel" }));
  expect(Array.from(codes.data)).toEqual([-8, 7, 7, -8]);
});

test("a decoded weight is within half a step of the original", () => {
  const rows = fc.array(fc.array(fc.integer({ min: -10_000, max: 10_000 }), { minLength: 8, maxLength: 8 }), {
    minLength: 1,
  });
  const partial = fc.record({
    numBits: fc.integer({ min: 2, max: 8 }),
    symmetric: fc.boolean(),
    groupSize: fc.constantFrom(null, -1, 2, 4),
  });
  fc.assert(
    fc.property(rows, partial, (integers, args) => {
      const weight = matrix(integers.map((row) => row.map((value) => value / 1000)));
      const quantized = roundToNearest(weight, args);
      const decoded = dequantizeWeight(quantized);
      forEachRun(tilingOf(quantized.args, weight.shape), weight.shape, (start, end, index) => {
        const bound = 0.5001 * Number(quantized.scale.data[index]);
        for (let i = start; i < end; i++) expect(Math.abs(weight.data[i] - decoded.data[i])).toBeLessThanOrEqual(bound);
      });
    }),
  );
});

test("codes stand still when the decoded weight is quantized again", () => {
  const quantized = roundToNearest(WEIGHT, { numBits: 4, groupSize: 2, symmetric: false });
  const again = quantizeWeight(dequantizeWeight(quantized), quantized, quantized.args);
  expect(again.codes.data).toEqual(quantized.codes.data);
});

test("a scale of another shape than the strategy's is refused", () => {
  expect(() =>
    quantizeWeight(WEIGHT, { scale: matrix([[1]]) }, completeArgs({ strategy: "channel" }), "lm_head"),
  ).toThrow("lm_head: F32 scale or zero point of shape [1, 1], expected [2, 1].");
});

function matrix(rows: number[][]): Tensor<"F32"> {
  return new Tensor("F32", [rows.length, rows[0].length], Float32Array.from(rows.flat()));
}

/** Quantizes with the plain range of each scale's elements. */
function roundToNearest(weight: Tensor<FloatDType>, partial: Partial<QuantizationArgs>) {
  const args = completeArgs(partial);
  const tiling = tilingOf(args, weight.shape);
  const [min, max] = [Tensor.zeros("F32", tiling.scaleShape), Tensor.zeros("F32", tiling.scaleShape)];
  const { data } = toFloat32(weight);
  forEachRun(tiling, weight.shape, (start, end, index) => {
    min.data[index] = Math.min(min.data[index], ...data.subarray(start, end));
    max.data[index] = Math.max(max.data[index], ...data.subarray(start, end));
  });
  return quantizeWeight(weight, computeQParams({ min, max }, args, weight.dtype), args);
}
