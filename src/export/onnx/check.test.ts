import { expect, test } from "vitest";
import { loadFixtureModel } from "../../../test/fixture-model.ts";
import { Checkpoint } from "../../checkpoint/checkpoint.ts";
import { ConfigError } from "../../errors.ts";
import { Linear } from "../../nn/linear.ts";
import type { QuantizationArgs } from "../../schemes/arguments.ts";
import { completeScheme } from "../../schemes/scheme.ts";
import type { ExportSubject } from "../export-source.ts";
import { checkCodes, chooseDTypes } from "./check.ts";
import { ONNX_DTYPES } from "./dtypes.ts";

test.each<[weights: Partial<QuantizationArgs> | null, chosen: string]>([
  [null, "fp32"],
  [{ numBits: 4, strategy: "group", groupSize: 32 }, "q4"],
  [{ numBits: 3, strategy: "channel" }, "q4"],
  [{ numBits: 8, strategy: "channel" }, "q8"],
  [{ numBits: 8, type: "float", strategy: "channel" }, "fp32"],
])("weights of %j choose %s where no type is asked for", (weights, chosen) => {
  expect(chooseDTypes(subjectWith(weights), []).map(({ name }) => name)).toEqual([chosen]);
});

test.each<[dtype: string, numBits: number, message: string]>([
  ["q8", 4, "dtype q8: the model's codes have 4 bits, expected 8. Choose q4, or quantize with 8 bits."],
  ["q4f16", 8, "dtype q4f16: the model's codes have 8 bits, expected 4. Choose q8, or quantize with 4 bits."],
])("%s of codes of %i bits is refused with what to choose", (dtype, numBits, message) => {
  const subject = subjectWith({ numBits, strategy: "channel" });
  expect(() => checkCodes(subject, chooseDTypes(subject, [dtype]))).toThrow(new ConfigError(message));
});

test("groups that no block holds are refused, but not where the weights are written dense", () => {
  const subject = subjectWith({ numBits: 4, strategy: "group", groupSize: 8 });
  expect(() => checkCodes(subject, chooseDTypes(subject, ["q4"]))).toThrow(
    new ConfigError(
      "model.layers.0.self_attn.q_proj: groups of 8 columns, expected a multiple of 16. Choose group_size 32, 64 or 128.",
    ),
  );
  expect(() => checkCodes(subject, chooseDTypes(subject, ["fp16"]))).not.toThrow();
});

test("a dense model can be written in every type", () => {
  expect(() => checkCodes(subjectWith(null), ONNX_DTYPES)).not.toThrow();
});

/** A model all of whose linears are quantized alike. */
function subjectWith(weights: Partial<QuantizationArgs> | null): ExportSubject {
  const model = loadFixtureModel("llama");
  const linears = model.namedModules().flatMap(([, module]) => (module instanceof Linear ? [module] : []));
  const args = weights && { type: "int" as const, symmetric: true, ...weights };
  const scheme = completeScheme({ targets: [], weights: args });
  const schemes = new Map(linears.map((linear) => [linear, scheme] as const));
  const quantization = { schemes: weights ? schemes : new Map(), kvCacheScheme: null };
  return { model, quantization, checkpoint: new Checkpoint("model", {}, new Map()), hasTransforms: false };
}
