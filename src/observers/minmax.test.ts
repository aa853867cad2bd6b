import { expect, test } from "vitest";
import { completeArgs } from "../schemes/arguments-schema.ts";
import { fromFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { memorylessMinmax } from "./minmax.ts";

const WEIGHT = new Tensor("F32", [2, 4], Float32Array.of(-1, -0.5, 0.25, 0.75, 1, 2, 3, 4));

test.each([
  ["tensor", { strategy: "tensor" }, [1], [-1], [4]],
  ["channel", { strategy: "channel" }, [2, 1], [-1, 1], [0.75, 4]],
  ["group", { groupSize: 2 }, [2, 2], [-1, 0.25, 1, 3], [-0.5, 0.75, 2, 4]],
] as const)("strategy %s has one minimum and maximum for each scale", (_, partial, shape, min, max) => {
  const range = memorylessMinmax.observe(WEIGHT, completeArgs(partial), "lm_head");
  expect(range.min).toEqual(new Tensor("F32", shape, Float32Array.from(min)));
  expect(range.max).toEqual(new Tensor("F32", shape, Float32Array.from(max)));
});

test("a weight in BF16 is observed in its own values", () => {
  const weight = fromFloat32(new Tensor("F32", [1, 2], Float32Array.of(0.1, 0.3)), "BF16");
  const { min } = memorylessMinmax.observe(weight, completeArgs({}), "lm_head");
  expect(min.data[0]).toBe(0.10009765625);
});

test.each([Number.NaN, Number.POSITIVE_INFINITY])(
  "a weight that holds %d is an error that names the module",
  (value) => {
    const weight = new Tensor("F32", [1, 3], Float32Array.of(1, value, 2));
    expect(() => memorylessMinmax.observe(weight, completeArgs({}), "lm_head")).toThrow(
      "lm_head.weight: not finite at row 0, column 1, expected finite numbers. Repair the checkpoint.",
    );
  },
);
