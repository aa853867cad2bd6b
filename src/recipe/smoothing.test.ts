import { describe, expect, test } from "vitest";
import { AWQModifier } from "../modifiers/awq.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import { QuantizationModifier } from "../modifiers/quantization.ts";
import { SmoothQuantModifier } from "../modifiers/smoothquant.ts";
import { createModifiers } from "./modifiers.ts";
import { writeRecipe } from "./write.ts";

const namesAndOptions = (modifiers: readonly Modifier[]) => modifiers.map(({ name, options }) => [name, options]);
const read = (recipe: string) => namesAndOptions(createModifiers(recipe));

test("SmoothQuant's fields are those of the reference", () => {
  const fields =
    "{smoothing_strength: 0.8, ignore: [a], num_calibration_steps: 12, mappings: [[['re:.*q_proj', 're:.*k_proj'], 're:.*norm']]}";
  const options = {
    smoothingStrength: 0.8,
    ignore: ["a"],
    mappings: [[["re:.*q_proj", "re:.*k_proj"], "re:.*norm"]],
  };
  expect(read(`SmoothQuantModifier: ${fields}`)).toEqual([["SmoothQuantModifier", options]]);
  expect(read("SmoothQuantModifier: {algorithm: log_equalization}")).toEqual([
    ["SmoothQuantModifier", { algorithm: "log_equalization" }],
  ]);
  expect(read("LogarithmicEqualizationModifier: {}")).toEqual([
    ["LogarithmicEqualizationModifier", { algorithm: "log_equalization" }],
  ]);
});

test("AWQ's fields are those of the reference, and the place to look at is left to the trace", () => {
  const mapping = "{smooth_layer: 're:.*norm$', balance_layers: ['re:.*q_proj$'], activation_hook_target: mlp}";
  expect(read(`AWQModifier: {duo_scaling: both, n_grid: 10, offload_device: cpu, mappings: [${mapping}]}`)).toEqual([
    [
      "AWQModifier",
      {
        duoScaling: "both",
        nGrid: 10,
        mappings: [{ smoothLayer: "re:.*norm$", balanceLayers: ["re:.*q_proj$"] }],
      },
    ],
  ]);
});

test("an older AWQ that quantizes by itself becomes two modifiers", () => {
  expect(read("AWQModifier: {scheme: W4A16_ASYM, targets: [Linear], ignore: [lm_head], duo_scaling: false}")).toEqual([
    ["AWQModifier", { duoScaling: false }],
    ["QuantizationModifier", { scheme: "W4A16_ASYM", targets: ["Linear"], ignore: ["lm_head"] }],
  ]);
});

test("what is written reads back to the same modifiers", () => {
  const modifiers = [
    new SmoothQuantModifier({ mappings: [[["a", "b"], "c"]], ignore: ["lm_head"], smoothingStrength: 0.25 }),
    new AWQModifier({ mappings: [{ smoothLayer: "a", balanceLayers: ["b", "c"] }], duoScaling: "both" }),
    new QuantizationModifier({ scheme: "W4A16" }),
  ];
  const text = writeRecipe(modifiers);
  expect(text).toContain("smooth_layer: a");
  expect(read(text)).toEqual(namesAndOptions(modifiers));
});

describe("errors name line, column and field", () => {
  test.each([
    [
      "SmoothQuantModifier: {smoothing_strength: 1.5}",
      "recipe:1:23: SmoothQuantModifier.smoothing_strength: found 1.5, expected at most 1.",
    ],
    [
      "SmoothQuantModifier: {strength: 1}",
      "recipe:1:23: SmoothQuantModifier.strength: unknown field, expected one such as",
    ],
    [
      "SmoothQuantModifier: {mappings: [q_proj]}",
      'recipe:1:34: SmoothQuantModifier.mappings.0: found "q_proj", expected a list of linears and the norm that they read.',
    ],
    [
      "SmoothQuantModifier: {algorithm: log}",
      'recipe:1:23: SmoothQuantModifier.algorithm: found "log", expected one of "smoothquant", "log_equalization".',
    ],
    ["AWQModifier: {n_grid: 3}", "recipe:1:15: AWQModifier.n_grid: found 3, expected at least 4."],
    [
      "AWQModifier: {duo_scaling: all}",
      'recipe:1:15: AWQModifier.duo_scaling: found "all", expected true, false or "both".',
    ],
    [
      "AWQModifier: {mappings: [{smooth_layer: a}]}",
      "recipe:1:26: AWQModifier.mappings.0.balance_layers: missing, expected a list of names.",
    ],
  ])("%s", (recipe, message) => {
    expect(() => createModifiers(recipe)).toThrow(message);
  });
});
