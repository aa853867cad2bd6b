import { expect, test } from "vitest";
import { completeArgs } from "../../schemes/arguments-schema.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { carryWeight, roundingOf } from "./carry.ts";

test("a scale of 64 columns is repeated in both blocks of 32", () => {
  const args = completeArgs({ numBits: 4, groupSize: 64 });
  const codes = new Tensor(
    "I8",
    [2, 64],
    Int8Array.from({ length: 128 }, (_, i) => (i % 16) - 8),
  );
  const scale = new Tensor("F32", [2, 1], Float32Array.of(0.5, 2));
  const blocks = carryWeight({ codes, scale, args }, "w");
  expect(blocks.codes).toBe(codes.data);
  expect([...blocks.scales]).toEqual([0.5, 0.5, 2, 2]);
  expect(blocks.minima).toBeUndefined();
});

test("a zero point becomes the value of the smallest code", () => {
  const args = completeArgs({ numBits: 4, groupSize: 32, symmetric: false });
  const codes = Tensor.zeros("I8", [1, 64]);
  const scale = new Tensor("F32", [1, 2], Float32Array.of(0.5, 2));
  const zeroPoint = new Tensor("I8", [1, 2], Int8Array.of(-8, 3));
  const { minima } = carryWeight({ codes, scale, zeroPoint, args }, "w");
  expect(Array.from(minima ?? [], (value) => value + 0)).toEqual([0, -22]);
});

test("what float16 does to scales is told: exact ones, small ones that are rounded, and those too large", () => {
  const exact = Float32Array.of(1.5, 2 ** -17, 65504);
  expect(roundingOf(exact, exact)).toEqual({ rounded: 0, largest: 0, overflows: false });
  const small = Float32Array.of(1.5 * 2 ** -24, 1);
  expect(roundingOf(small, small)).toEqual({ rounded: 1, largest: 1 / 3, overflows: false });
  const large = Float32Array.of(1e6);
  expect(roundingOf(large, large).overflows).toBe(true);
});
