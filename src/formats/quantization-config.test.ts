import { expect, test } from "vitest";
import { goldenCases, goldenConfigs } from "../../test/compressed-tensors.ts";
import { presetScheme } from "../schemes/presets.ts";
import { completeScheme, type QuantizationScheme } from "../schemes/scheme.ts";
import { readQuantizationConfig, writeQuantizationConfig } from "./quantization-config.ts";

test.each(Object.entries(goldenConfigs))("%s is read and written as the reference writes it", (_, golden) => {
  const config = golden.quantization_config;
  expect(JSON.stringify(writeQuantizationConfig(readQuantizationConfig(config)))).toBe(JSON.stringify(config));
});

test.each([
  ["W4A16", ["lm_head"]],
  ["W4A16_ASYM", ["lm_head"]],
  ["W8A16", ["lm_head"]],
])("preset %s is written as the reference writes it", (name, ignore) => {
  const groups = [withObserver(presetScheme(name))];
  expect(writeQuantizationConfig({ groups, ignore, kvCacheScheme: null, transforms: [] })).toEqual(
    goldenConfigs[name].quantization_config,
  );
});

test("the schemes of every golden case are read", () => {
  const cases = Object.entries(goldenCases).filter(([name]) => !name.startsWith("legacy-"));
  const groups = Object.fromEntries(cases.map(([name, { scheme }]) => [name, scheme]));
  const config = readQuantizationConfig({ quant_method: "compressed-tensors", config_groups: groups });
  expect(config.groups.map(({ format }) => format)).toEqual(cases.map(([, { format }]) => format));
});

test("keys that older files lack get their defaults", () => {
  const weights = { num_bits: 4, type: "int", symmetric: true, strategy: "group", group_size: 32 };
  const json = { quant_method: "compressed-tensors", config_groups: { group_0: { targets: ["Linear"], weights } } };
  expect(readQuantizationConfig(json)).toEqual({
    groups: [completeScheme({ targets: ["Linear"], weights: { numBits: 4, groupSize: 32 }, format: "pack-quantized" })],
    ignore: [],
    kvCacheScheme: null,
    sparsity: null,
    transforms: [],
  });
});

test("a group named for a preset may hold its targets alone", () => {
  const json = { quant_method: "compressed-tensors", config_groups: { W4A16: ["re:.*mlp.*"] } };
  expect(readQuantizationConfig(json).groups).toEqual([
    { ...presetScheme("W4A16", ["re:.*mlp.*"]), format: "pack-quantized" },
  ]);
});

test("groups of unequal formats make the whole mixed-precision", () => {
  const float = completeScheme({ targets: ["re:.*mlp.*"], weights: { type: "float" } });
  const config = writeQuantizationConfig({
    groups: [presetScheme("W4A16"), float],
    ignore: [],
    kvCacheScheme: null,
    transforms: [],
  });
  expect(config).toMatchObject({
    format: "mixed-precision",
    config_groups: { group_0: { format: "pack-quantized" }, group_1: { format: "naive-quantized" } },
  });
});

test("an older checkpoint may be sparse and have no groups, and may order columns by groups", () => {
  const sparse = { quant_method: "compressed-tensors", sparsity_config: { format: "sparse-24-bitmask" } };
  expect(readQuantizationConfig(sparse)).toMatchObject({ groups: [], sparsity: "sparse-24-bitmask" });
  const weights = { ...W4, actorder: "group" };
  const ordered = { quant_method: "compressed-tensors", config_groups: { group_0: { targets: ["Linear"], weights } } };
  expect(readQuantizationConfig(ordered).groups[0].weights?.actorder).toBe("weight");
});

const WHERE = "config.json: quantization_config";
const W4 = { num_bits: 4, group_size: 128 };

test.each<[string, object, string]>([
  ["another method", { quant_method: "gptq" }, `${WHERE}.quant_method: found "gptq", expected "compressed-tensors".`],
  [
    "no groups",
    { config_groups: undefined },
    `${WHERE}: neither config_groups nor sparsity_config, expected one of them.`,
  ],
  [
    "an unknown key in arguments",
    { config_groups: { group_0: { targets: [], weights: { ...W4, g_idx: true } } } },
    `${WHERE}.config_groups.group_0.weights: unknown key g_idx, expected actorder, block_structure, dynamic, group_size, ` +
      "num_bits, observer, observer_kwargs, scale_dtype, strategy, symmetric, type, zp_dtype.",
  ],
  [
    "a key of ours in arguments",
    { config_groups: { group_0: { targets: [], weights: { numBits: 4 } } } },
    `${WHERE}.config_groups.group_0.weights: unknown key numBits, expected actorder, block_structure, dynamic, group_size, ` +
      "num_bits, observer, observer_kwargs, scale_dtype, strategy, symmetric, type, zp_dtype.",
  ],
  [
    "an unknown key in a scheme",
    { config_groups: { group_0: { targets: [], kernel: "marlin" } } },
    `${WHERE}.config_groups.group_0: unknown key kernel, expected format, input_activations, output_activations, targets, weights.`,
  ],
  [
    "a wrong value",
    { config_groups: { group_0: { targets: [], weights: { num_bits: "4" } } } },
    `${WHERE}.config_groups.group_0.weights.num_bits: found "4", expected a number.`,
  ],
  [
    "a format that there is not",
    { config_groups: { group_0: { targets: [], weights: {}, format: "marlin-24" } } },
    `${WHERE}.config_groups.group_0.format: found "marlin-24", expected one of "dense", "pack-quantized", "int-quantized", ` +
      '"float-quantized", "naive-quantized", "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized".',
  ],
  [
    "a cache in another method",
    { kv_cache_scheme: { num_bits: 9 } },
    `${WHERE}.kv_cache_scheme: num_bits 9, expected 1 to 8 for type int.`,
  ],
  [
    "a transform of queries",
    {
      transform_config: { config_groups: { R3: { type: "hadamard", apply: [{ targets: "x", location: "q_attn" }] } } },
    },
    `${WHERE}.transform_config.config_groups.R3.apply.0.location: not one of input, weight_input, weight_output and output, ` +
      "expected no transforms of attention.",
  ],
  [
    "a transform that is no Hadamard matrix",
    { transform_config: { config_groups: { v: { type: "random-matrix" } } } },
    `${WHERE}.transform_config.config_groups.v.type: not supported, expected hadamard or random-hadamard.`,
  ],
  [
    "transforms that are permuted",
    { transform_config: { config_groups: { v: { type: "hadamard", randomize: true } } } },
    `${WHERE}.transform_config.config_groups.v.randomize: not supported, expected false.`,
  ],
  [
    "a sparse format that readers lack",
    { sparsity_config: { format: "marlin-24" } },
    `${WHERE}.sparsity_config.format: found "marlin-24", expected one of "dense", "sparse-bitmask", "sparse-24-bitmask".`,
  ],
])("a config with %s is refused", (_, fields, message) => {
  const json = { quant_method: "compressed-tensors", config_groups: {}, ...fields };
  expect(() => readQuantizationConfig(json)).toThrow(expect.objectContaining({ name: "ConfigError", message }));
});

function withObserver(scheme: QuantizationScheme): QuantizationScheme {
  return { ...scheme, weights: scheme.weights && { ...scheme.weights, observer: "memoryless_minmax" } };
}
