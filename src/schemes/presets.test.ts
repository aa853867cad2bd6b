import { expect, test } from "vitest";
import { goldenConfigs } from "../../test/compressed-tensors.ts";
import { schemeToJson } from "../formats/config-keys.ts";
import { inferFormat } from "../formats/infer-format.ts";
import { completeArgs } from "./arguments-schema.ts";
import { presetNames, presetScheme } from "./presets.ts";
import type { QuantizationScheme } from "./scheme.ts";

test.each([2, 3, 4, 5, 6, 7, 8])(
  "W%iA16 has one symmetric scale for 128 columns, and no other arguments",
  (numBits) => {
    expect(presetScheme(`W${numBits}A16`)).toEqual({
      targets: ["Linear"],
      weights: completeArgs({ numBits, strategy: "group", groupSize: 128 }),
      inputActivations: null,
      outputActivations: null,
      format: null,
    });
  },
);

test("a preset is found in any case, and takes the targets given", () => {
  const { targets, weights } = presetScheme("w4a16_asym", ["re:.*mlp.*"]);
  expect(targets).toEqual(["re:.*mlp.*"]);
  expect(weights).toEqual(completeArgs({ numBits: 4, groupSize: 128, symmetric: false }));
});

test("UNQUANTIZED quantizes nothing", () => {
  expect(presetScheme("UNQUANTIZED").weights).toBeNull();
});

test.each([
  [
    "W2A4",
    { weights: { numBits: 2, groupSize: 128 }, inputActivations: { numBits: 4, strategy: "token", dynamic: true } },
  ],
  [
    "W7A8",
    { weights: { numBits: 7, groupSize: 128 }, inputActivations: { numBits: 8, strategy: "token", dynamic: true } },
  ],
] as const)("%s rounds inputs token by token", (name, { weights, inputActivations }) => {
  expect(presetScheme(name)).toMatchObject({
    weights: completeArgs(weights),
    inputActivations: completeArgs(inputActivations),
  });
});

test("the presets are those of the reference", () => {
  const golden = Object.keys(goldenConfigs).filter((name) => presetNames.includes(name));
  expect(golden).toEqual(expect.arrayContaining(["W8A8", "FP8_BLOCK", "NVFP4", "MXFP8"]));
  for (const name of golden) {
    const [group] = Object.values(goldenConfigs[name].quantization_config.config_groups);
    const written = schemeToJson({ ...observed(presetScheme(name)), format: inferFormat(presetScheme(name)) });
    expect(written, name).toEqual(group);
  }
});

test("presets have names in upper or lower case", () => {
  expect(presetScheme("w4a16")).toEqual(presetScheme("W4A16"));
});

test.each(["W9A16", "toString"])("the unknown preset %s is an error that lists the presets", (name) => {
  expect(() => presetScheme(name)).toThrow(
    `scheme: preset "${name}" is unknown, expected one of ${presetNames.join(", ")}.`,
  );
});

/** With the observers that a modifier fills in. */
function observed(scheme: QuantizationScheme): QuantizationScheme {
  return { ...scheme, weights: scheme.weights && { ...scheme.weights, observer: "memoryless_minmax" } };
}
