import { expect, test } from "vitest";
import { minmaxRange } from "../observers/minmax.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { completeArgs } from "../schemes/arguments-schema.ts";
import { computeQParams, globalScaleOf } from "../schemes/qparams.ts";
import { dequantizeWeight, quantizeWeight } from "../schemes/quantize.ts";
import { fromFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { dense } from "./dense.ts";

const values = Float32Array.from({ length: 64 }, (_, index) => Math.sin(3 * index));

test.each<[string, Partial<QuantizationArgs>]>([
  ["integers", { numBits: 4, groupSize: 16 }],
  ["integers with zero points", { numBits: 8, strategy: "channel", symmetric: false }],
  ["float8 in blocks", { type: "float", strategy: "block", blockStructure: [3, 8] }],
  [
    "float4 below a global scale",
    { type: "float", numBits: 4, strategy: "tensor_group", groupSize: 16, scaleDtype: "torch.float8_e4m3fn" },
  ],
])("%s are stored as the weight that they stand for, and are found in it again", (_, partial) => {
  const args = completeArgs(partial);
  const weight = fromFloat32(new Tensor("F32", [4, 16], values), "BF16");
  const globalScale = args.strategy === "tensor_group" ? globalScaleOf(1, "BF16") : undefined;
  const qparams = computeQParams(minmaxRange(weight, args, "m"), args, "BF16", globalScale);
  const quantized = quantizeWeight(weight, qparams, args);
  const stored = dense.compress("m", quantized);

  const specs = dense.tensors("m", weight.shape, "BF16", args);
  expect(new Map([...stored].map(([name, { dtype, shape }]) => [name, { name, dtype, shape }]))).toEqual(
    new Map(specs.map((spec) => [spec.name, spec])),
  );
  expect(stored.get("m.weight")).toEqual(fromFloat32(dequantizeWeight(quantized), "BF16"));
  const restored = dense.restore("m", stored, args);
  expect([restored.scale, restored.zeroPoint]).toEqual([quantized.scale, quantized.zeroPoint]);
  expect(unsigned(dequantizeWeight(restored))).toEqual(unsigned(dequantizeWeight(quantized)));
});

/** The values; a zero has no sign once it was weighed as a number. */
function unsigned({ data }: Tensor<"F32">): number[] {
  return Array.from(data, (value) => value + 0);
}
