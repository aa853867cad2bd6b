import { expect, test } from "vitest";
import { completeScheme, type PartialScheme } from "../schemes/scheme.ts";
import { inferFormat, overallFormat } from "./infer-format.ts";

const token = { strategy: "token", dynamic: true } as const;

test.each<[string, Omit<PartialScheme, "targets">]>([
  ["dense", {}],
  ["dense", { inputActivations: token }],
  ["mxfp4-pack-quantized", { weights: { type: "float", numBits: 4, groupSize: 32 } }],
  ["mxfp8-quantized", { weights: { type: "float", groupSize: 32, scaleDtype: "uint8" }, inputActivations: token }],
  ["nvfp4-pack-quantized", { weights: { type: "float", numBits: 4, strategy: "tensor_group", groupSize: 16 } }],
  ["int-quantized", { weights: { numBits: 4 }, inputActivations: { ...token, type: "float" } }],
  ["pack-quantized", { weights: { numBits: 8 } }],
  ["int-quantized", { weights: { numBits: 4, symmetric: false, zpDtype: "float32" } }],
  ["float-quantized", { weights: { type: "float", groupSize: 32 }, inputActivations: token }],
  ["naive-quantized", { weights: { type: "float", strategy: "channel" } }],
  ["float-quantized", { weights: { type: "float" }, format: "float-quantized" }],
])("%s is the format of %o", (format, partial) => {
  expect(inferFormat(completeScheme({ targets: ["Linear"], ...partial }))).toBe(format);
});

test("a checkpoint has the format that its quantized groups share", () => {
  expect(overallFormat([])).toBe("dense");
  expect(overallFormat(["dense", "pack-quantized", "pack-quantized"])).toBe("pack-quantized");
  expect(overallFormat(["pack-quantized", "float-quantized"])).toBe("mixed-precision");
});
