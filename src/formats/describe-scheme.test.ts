import { expect, test } from "vitest";
import { presetScheme } from "../schemes/presets.ts";
import { completeScheme } from "../schemes/scheme.ts";
import { describeScheme } from "./describe-scheme.ts";

test.each([
  ["W4A16_ASYM", "int4 asymmetric, group 128"],
  ["FP8_BLOCK", "float8 symmetric, block 128x128; inputs float8 symmetric, group 128, dynamic"],
  ["FP8", "float8 symmetric, tensor; inputs float8 symmetric, tensor, static"],
  ["UNQUANTIZED", "as they are"],
])("%s is described in a few words", (name, description) => {
  expect(describeScheme(presetScheme(name))).toBe(description);
});

test("outputs are described where they are quantized", () => {
  const scheme = completeScheme({ targets: ["Linear"], outputActivations: { numBits: 8 } });
  expect(describeScheme(scheme)).toBe("as they are; outputs int8 symmetric, tensor, static");
});
