import { expect, test } from "vitest";
import { CompressionError } from "../errors.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { narrow } from "./narrow.ts";

const tensor = (...values: number[]) => new Tensor("F32", [values.length], Float32Array.from(values));

test.each(["F32", "F16", "BF16"] as const)("what %s can hold is rounded to it, NaN and infinity stay", (dtype) => {
  const values = [1.5, -65504, Number.NaN, Number.NEGATIVE_INFINITY];
  const expected = dtype === "BF16" ? [1.5, -65536, Number.NaN, Number.NEGATIVE_INFINITY] : values;
  expect([...toFloat32(narrow("a", tensor(...values), dtype)).data]).toEqual(expected);
});

test("a value that becomes infinite is named", () => {
  expect(() => narrow("model.norm.weight", tensor(1, 65520), "F16")).toThrow(
    new CompressionError(
      "model.norm.weight: holds 65520, expected values that F16 can hold. Save in another precision.",
    ),
  );
});
