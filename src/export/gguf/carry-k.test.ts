import { expect, test } from "vitest";
import { decodeTensor } from "../../gguf/decode-tensor.ts";
import { packKBlocks } from "../../gguf/pack-k-blocks.ts";
import { kBlockMse } from "../../observers/k-blocks.ts";
import { completeArgs } from "../../schemes/arguments-schema.ts";
import { computeQParams } from "../../schemes/qparams.ts";
import { dequantizeWeight, quantizeWeight } from "../../schemes/quantize.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { argsForType } from "./carrier.ts";
import { carryKBlocks } from "./carry-k.ts";

const weight = new Tensor(
  "F32",
  [4, 512],
  Float32Array.from({ length: 2048 }, (_, i) => (1 + ((i >> 5) % 5)) * Math.sin(i * i) * 0.01),
);

/** The largest difference of what a file holds from what the codes and scales stand for, in steps of the largest scale. */
function largestLoss(type: "Q4_K" | "Q6_K"): number {
  const args = completeArgs(argsForType(type));
  const quantized = quantizeWeight(weight, computeQParams(kBlockMse.observe(weight, args, "w"), args, "F32"), args);
  const expected = dequantizeWeight(quantized).data;
  const { data } = decodeTensor(type, weight.shape, packKBlocks(type, carryKBlocks(type, quantized, "w")));
  const step = Math.max(...(quantized.scale.data as Float32Array));
  return Math.max(...data.map((value, i) => Math.abs(value - expected[i]))) / step;
}

test.each(["Q4_K", "Q6_K"] as const)("%s holds scales and offsets that were found for it as they are", (type) => {
  expect(largestLoss(type)).toBeLessThan(1e-4);
});
