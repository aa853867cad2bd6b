import { expect, test } from "vitest";
import { goldenCases, goldenConfigs, readGolden } from "../../test/compressed-tensors.ts";
import { bestMatch } from "../nn/best-match.ts";
import { Linear } from "../nn/linear.ts";
import { memorylessMinmax } from "../observers/minmax.ts";
import { computeQParams, globalScaleOf } from "../schemes/qparams.ts";
import { quantizeWeight } from "../schemes/quantize.ts";
import { fromFloat32, isFloat, toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { readQuantizationConfig } from "./quantization-config.ts";
import { formatOf } from "./registry.ts";

const goldens = Object.keys(goldenCases).filter((name) => !name.startsWith("legacy-"));

test.each(goldens)("%s: the stored tensors equal the reference's, byte for byte", (name) => {
  const { weight, amax, stored, args, format } = golden(name);
  const globalScale = args.strategy === "tensor_group" ? globalScaleOf(amax, weight.dtype) : undefined;
  const qparams = computeQParams(memorylessMinmax.observe(weight, args, "m"), args, weight.dtype, globalScale);
  const tensors = format.compress("m", quantizeWeight(weight, qparams, args));
  expect(Object.fromEntries(tensors)).toEqual(Object.fromEntries(stored));
});

test.each(goldens)("%s: the decoded weight equals the reference's, byte for byte", (name) => {
  const { stored, args, decoded, format } = golden(name);
  const weight = fromFloat32(format.decompress("m", stored, args), decoded.dtype);
  expect(weight).toEqual(decoded);
});

test.each(goldens)("%s: codes and scales come back from what is stored", (name) => {
  const { stored, args, format } = golden(name);
  expect(format.compress("m", format.restore("m", stored, args))).toEqual(stored);
});

test.each(goldens)("%s: the tensors announced are those stored", (name) => {
  const { weight, stored, args, format } = golden(name);
  const specs = format.tensors("m", weight.shape, weight.dtype, args);
  expect(new Set(specs)).toEqual(new Set(Array.from(stored, ([name, { dtype, shape }]) => ({ name, dtype, shape }))));
});

test.each(Object.entries(goldenConfigs))(
  "%s: the tensors announced are those of the reference's model",
  (_, config) => {
    const { groups } = readQuantizationConfig(config.quantization_config);
    const name = "model.layers.0.mlp.gate_proj";
    const scheme = bestMatch(name, new Linear(256, 384), groups);
    if (!scheme?.weights) throw new Error("gate_proj is quantized in every golden model");
    const specs = formatOf(scheme).tensors(name, [384, 256], "BF16", scheme.weights);
    const expected = Object.entries(config.tensors).filter(([tensor]) => tensor.startsWith(`${name}.weight`));
    expect(Object.fromEntries(specs.map(({ name, dtype, shape }) => [name, [dtype, shape]]))).toEqual(
      Object.fromEntries(expected),
    );
  },
);

/** A golden case: the dense weight, and what the reference stores of it under a module `m` and decodes. */
function golden(name: string) {
  const tensors = readGolden(name);
  const config = { quant_method: "compressed-tensors", config_groups: { scheme: goldenCases[name].scheme } };
  const [scheme] = readQuantizationConfig(config).groups;
  const { weights: args } = scheme;
  if (!args) throw new Error("a golden case without quantized weights");
  const weight = expectWeight(tensors.get("in.weight"));
  const fused = [...tensors].filter(([key]) => key === "in.weight" || key.startsWith("in.sibling"));
  const amax = Math.max(...fused.flatMap(([, tensor]) => [...toFloat32(tensor).data].map(Math.abs)));
  const stored = [...tensors].filter(([key]) => key.startsWith("out.weight"));
  return {
    weight,
    amax,
    stored: new Map(stored.map(([key, tensor]) => [key.replace(/^out\./, "m."), tensor])),
    args,
    format: formatOf(scheme),
    decoded: expectWeight(tensors.get("ref.dequant")),
  };
}

function expectWeight(tensor: Tensor | undefined): Tensor<FloatDType> {
  if (!tensor || !isFloat(tensor)) throw new Error("a golden case without in.weight or ref.dequant");
  return tensor;
}
