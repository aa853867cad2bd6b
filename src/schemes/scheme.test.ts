import { expect, test } from "vitest";
import { completeArgs } from "./arguments-schema.ts";
import { completeScheme, type PartialScheme } from "./scheme.ts";

test("a scheme of targets alone quantizes nothing", () => {
  expect(completeScheme({ targets: ["Linear"] })).toEqual({
    targets: ["Linear"],
    weights: null,
    inputActivations: null,
    outputActivations: null,
    format: null,
  });
});

test("the arguments within a scheme are completed", () => {
  expect(completeScheme({ targets: ["Linear"], weights: { numBits: 4, groupSize: 32 } }).weights).toEqual(
    completeArgs({ numBits: 4, groupSize: 32 }),
  );
});

test.each<[unknown, string]>([
  [
    { inputActivations: { strategy: "channel" } },
    "scheme.input_activations: strategy is not one for activations, expected one of token, tensor, group, tensor_group, attn_head.",
  ],
  [
    { outputActivations: { actorder: "static" } },
    "scheme.output_activations: actorder is set, expected null: it is an order of weight columns.",
  ],
  [
    { weights: { numBits: 4, groupSize: -2 } },
    "scheme.weights.group_size: expected a positive integer, or -1 for one scale a row.",
  ],
  [{ bits: 4 }, 'scheme: unknown key "bits", expected known ones.'],
])("%o is refused", (fields, message) => {
  expect(() => completeScheme({ targets: ["Linear"], ...(fields as Partial<PartialScheme>) })).toThrow(
    expect.objectContaining({ name: "RecipeError", message }),
  );
});

test("mixed-precision is no format of a scheme", () => {
  const mixed = { targets: ["Linear"], format: "mixed-precision" } as unknown as PartialScheme;
  expect(() => completeScheme(mixed)).toThrow(
    /^scheme\.format: found "mixed-precision", expected one of "dense", "pack-quantized"/,
  );
});
