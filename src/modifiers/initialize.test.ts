import { expect, test } from "vitest";
import { loadFixtureModel } from "../../test/fixture-model.ts";
import { createModifiers } from "../recipe/modifiers.ts";
import { initializeModifiers } from "./initialize.ts";

/** What a recipe for the tiny Llama warns of. */
function warningsOf(recipe: string): string[] {
  const warnings: string[] = [];
  initializeModifiers(createModifiers(recipe), loadFixtureModel("llama"), { warn: (text) => warnings.push(text) });
  return warnings;
}

test.each(["QuantizationModifier: {scheme: INT8, ", "ConstantPruningModifier: {targets: [Linear], "])(
  "%s: what is to be ignored and is not there is told, with where and the nearest names",
  (modifier) => {
    expect(warningsOf(`${modifier}ignore: [lm_haed, 're:.*q_proj$', LlamaMLP]}`)).toEqual([
      `recipe:1:1: ${modifier.split(":")[0]}: ignore "lm_haed" matches no module, so nothing is left out for it. Nearest: lm_head, model, Attend.`,
    ]);
  },
);
