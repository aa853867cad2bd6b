import { describe, expect, test } from "vitest";
import { AWQModifier } from "../src/modifiers/awq.ts";
import { initializeModifiers } from "../src/modifiers/initialize.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { createModifiers } from "../src/recipe/modifiers.ts";
import { loadFixtureModel } from "./fixture-model.ts";

describe("a recipe's mistakes are told at once, with their line", () => {
  const warnings: string[] = [];
  const initialize = (name: string, recipe: string) => {
    warnings.length = 0;
    initializeModifiers(createModifiers(recipe), loadFixtureModel(name), { warn: (message) => warnings.push(message) });
  };
  const smooth = (mapping: string) => `SmoothQuantModifier:\n  mappings:\n  - ${mapping}`;

  test.each([
    [
      "llama",
      smooth("[[q_project], 're:.*input_layernorm']"),
      "recipe:1:1: q_project: matches no module, expected a module name, class name or re: pattern.",
    ],
    [
      "gemma2",
      smooth("[['re:.*gate_proj', 're:.*up_proj'], 're:.*post_attention_layernorm']"),
      "recipe:1:1: SmoothQuantModifier: mapping re:.*post_attention_layernorm → re:.*gate_proj, re:.*up_proj: the output of " +
        "model.layers.0.post_attention_layernorm cannot be divided, add in model.layers.0 reads it; " +
        "expected linears alone to read it. Leave it out of the mapping.",
    ],
    [
      "llama",
      smooth("[['re:.*down_proj'], 're:.*input_layernorm']"),
      "recipe:1:1: SmoothQuantModifier: mapping re:.*input_layernorm → re:.*down_proj: none of the latter reads " +
        "model.layers.0.input_layernorm, expected model.layers.0.self_attn.q_proj, model.layers.0.self_attn.k_proj, " +
        "model.layers.0.self_attn.v_proj. Correct the mapping.",
    ],
    [
      "llama",
      smooth("[['re:.*(q|down)_proj'], 're:.*input_layernorm']"),
      "recipe:1:1: SmoothQuantModifier: mapping re:.*input_layernorm → re:.*(q|down)_proj: model.layers.0.mlp.down_proj, " +
        "model.layers.1.mlp.down_proj not among the readers of model.layers.0.input_layernorm, " +
        "model.layers.1.input_layernorm, expected all to be. Correct the mapping.",
    ],
    [
      "llama",
      smooth("[['re:.*q_proj'], LlamaMLP]"),
      "recipe:1:1: SmoothQuantModifier: mapping LlamaMLP → re:.*q_proj: no norm or linear, expected one whose output is divided.",
    ],
    [
      "llama",
      "AWQModifier: {}",
      "recipe:1:1: AWQModifier: no quantizing modifier after it, expected one. Add a QuantizationModifier, or give it a scheme.",
    ],
  ])("%s: %s", (name, recipe, message) => {
    expect(() => initialize(name, recipe)).toThrow(message);
  });

  test("what else reads a norm is balanced too, with a warning", () => {
    const mapping =
      "{smooth_layer: 're:.*post_attention_layernorm$', balance_layers: ['re:.*experts.*w1$', 're:.*experts.*w3$']}";
    initialize(
      "mixtral",
      `AWQModifier: {mappings: [${mapping}]}\nQuantizationModifier: {config_groups: {g: {targets: [Linear], weights: {num_bits: 8, strategy: channel}}}}`,
    );
    expect(warnings).toContain(
      "AWQModifier: mapping re:.*post_attention_layernorm$ → re:.*experts.*w1$, re:.*experts.*w3$: " +
        "model.layers.0.post_attention_layernorm is read also by model.layers.0.block_sparse_moe.gate, balanced as well.",
    );
  });
});

test("values that several heads of queries share are left out of a mapping, with a warning", async () => {
  const warnings: string[] = [];
  const awq = new AWQModifier({
    mappings: [
      { smoothLayer: "re:.*v_proj$", balanceLayers: ["re:.*o_proj$"] },
      { smoothLayer: "re:.*up_proj$", balanceLayers: ["re:.*down_proj$"] },
    ],
  });
  awq.initialize(loadFixtureModel("llama"), {
    warn: (message) => warnings.push(message),
    later: [new QuantizationModifier({ scheme: "W8A16", ignore: ["lm_head"] })],
  });
  expect(warnings).toEqual([
    "AWQModifier: mapping re:.*v_proj$ → re:.*o_proj$: skipped for 2 modules such as model.layers.0.self_attn.v_proj: " +
      "several columns of what is read come from one of its own.",
  ]);
  expect(awq.coupled.map(({ name }) => name)).toEqual(
    [0, 1].map((layer) => `model.layers.${layer}.mlp.up_proj → down_proj`),
  );
});
