import { expect, expectTypeOf, test } from "vitest";
import { ShapeError } from "../errors.ts";
import {
  fromFloat32,
  isFloat,
  isFloatDType,
  narrowEnd,
  rounder,
  roundToDType,
  toFloat32,
  widenInPlace,
} from "./convert.ts";
import type { FloatDType } from "./dtype.ts";
import { Tensor } from "./tensor.ts";

const third = new Tensor("F32", [1, 2], Float32Array.of(1 / 3, -2));

test.each<[FloatDType, number[], number[]]>([
  ["F32", [Math.fround(1 / 3), -2], [Math.fround(1 / 3), -2]],
  ["F16", [0x3555, 0xc000], [0.333251953125, -2]],
  ["BF16", [0x3eab, 0xc000], [0.333984375, -2]],
])("a tensor is rounded to %s and widened again", (dtype, bits, values) => {
  const stored = fromFloat32(third, dtype);
  expect(stored).toMatchObject({ dtype, shape: [1, 2] });
  expect([...stored.data]).toEqual(bits);
  expect(toFloat32(stored)).toEqual(new Tensor("F32", [1, 2], Float32Array.from(values)));
});

test.each<FloatDType>(["F32", "F16", "BF16"])(
  "what is put into the end of a tensor in %s is widened in place",
  (dtype) => {
    for (const length of [1, 2, 3, 7, 8]) {
      const values = Float32Array.from({ length }, (_, i) => 1.5 - i);
      const result = Tensor.zeros("F32", [length]);
      narrowEnd(result, dtype).set(fromFloat32(new Tensor("F32", [length], values), dtype).bytes);
      widenInPlace(result, dtype);
      expect(result.data).toEqual(values);
    }
  },
);

test("a tensor that has the dtype already is returned itself", () => {
  expect(toFloat32(third)).toBe(third);
  expect(fromFloat32(third, "F32")).toBe(third);
});

test("rounding to a dtype gives F32 values, and no copy of those that are bfloat16", () => {
  const rounded = roundToDType(third, "BF16");
  expect(Array.from(rounded.data)).toEqual([0.333984375, -2]);
  expect(roundToDType(rounded, "BF16")).toBe(rounded);
  expect(Array.from(roundToDType(third, "F16").data)).toEqual([0.333251953125, -2]);
});

test("a tensor of integers is refused", () => {
  expect(() => toFloat32(Tensor.zeros("I32", [1]))).toThrow(
    new ShapeError("tensor: dtype I32, expected one of F32, F16, BF16."),
  );
});

test.each([
  ["F32", true],
  ["F16", true],
  ["BF16", true],
  ["F64", false],
  ["F8_E4M3", false],
  ["I32", false],
] as const)("whether %s is a dtype of weights: %s", (dtype, expected) => {
  expect(isFloatDType(dtype)).toBe(expected);
  expect(isFloat(Tensor.zeros(dtype, [1]))).toBe(expected);
});

test("the result's dtype is part of its type", () => {
  expectTypeOf(fromFloat32(third, "BF16")).toEqualTypeOf<Tensor<"BF16">>();
});

test.each<[FloatDType, number]>([
  ["F32", 0.3333333432674408],
  ["F16", 0.333251953125],
  ["BF16", 0.333984375],
])("a number is rounded to %s", (dtype, expected) => {
  expect(rounder(dtype)(1 / 3)).toBe(expected);
});

test.each<[FloatDType, number, number]>([
  ["F16", 1 + 2 ** -11 + 2 ** -40, 1], // float32 drops 2^-40, and what is left is a half
  ["BF16", 1 + 2 ** -8 + 2 ** -40, 1],
  ["F16", 65519.99, 65504],
  ["F16", 65519.999, Number.POSITIVE_INFINITY], // 65520 in float32, which is a half
  ["F16", 65520, Number.POSITIVE_INFINITY],
  ["BF16", 3.4e38, Number.POSITIVE_INFINITY],
  ["F16", 3 * 2 ** -25, 2 ** -23],
  ["BF16", -0, -0],
  ["F16", -0, -0],
  ["BF16", Number.NaN, Number.NaN],
  ["F16", Number.NaN, Number.NaN],
])("%s: %d is rounded by way of float32 to %d", (dtype, value, expected) => {
  expect(rounder(dtype)(value)).toBe(expected);
});

test.each<FloatDType>(["F32", "F16", "BF16"])("%s: a number is rounded as a tensor is", (dtype) => {
  const values = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i) * 2 ** ((i % 60) - 40));
  const tensor = toFloat32(fromFloat32(new Tensor("F32", [1000], values), dtype));
  expect([...values].map(rounder(dtype))).toEqual([...tensor.data]);
});
