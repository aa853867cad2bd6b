import { describe, expect, test } from "vitest";
import { loadFixtureModel } from "../../test/fixture-model.ts";
import { CheckpointError, RecipeError } from "../errors.ts";
import { bindParameters } from "./bind.ts";
import { Linear } from "./linear.ts";
import { classNames, matchesAny, matchModules } from "./match.ts";
import { Module } from "./module.ts";
import { nearestNames } from "./nearest-names.ts";

class Tied extends Module<void> {
  readonly shared = new Linear(2, 3);
  readonly layers = [new Linear(2, 2), this.shared, new Linear(3, 2, { bias: true })];
  forward(): never {
    throw new Error("never run");
  }
}

describe("a module tree", () => {
  test("names each module once, under the path it is first met at; lists are indexed", () => {
    expect(new Tied().namedModules().map(([path]) => path)).toEqual(["", "shared", "layers.0", "layers.2"]);
  });

  test("names each parameter once, a tied one under its first path", () => {
    const root = new Tied();
    (root.layers[0] as Linear).weight = root.shared.weight;
    expect(root.namedParameters().map(([path]) => path)).toEqual(["shared.weight", "layers.2.weight", "layers.2.bias"]);
  });
});

describe("matching", () => {
  const model = loadFixtureModel("llama");
  const matched = (...targets: string[]) => {
    const found = matchModules(model, targets);
    return model.namedModules().flatMap(([path, module]) => (found.has(module) ? [path] : []));
  };

  test("by full name, by class and by the class of a base", () => {
    expect(matched("lm_head")).toEqual(["lm_head"]);
    expect(matched("LlamaMLP")).toEqual(["model.layers.0.mlp", "model.layers.1.mlp"]);
    expect(matched("RMSNorm")).toHaveLength(5);
  });

  test("by a pattern, from the start of the name but not to its end", () => {
    expect(matched("re:model.layers.1.mlp.g")).toEqual(["model.layers.1.mlp.gate_proj"]);
    expect(matchesAny(["re:layers"], "model.layers.1", model)).toBe(false);
    expect(matched("re:.*q_proj$", "re:.*k_proj$")).toHaveLength(4);
  });

  test("a pattern that matches nothing is an error with the nearest names", () => {
    expect(() => matched("LlamaDecoderLayr")).toThrow(RecipeError);
    expect(() => matched("LlamaDecoderLayr")).toThrow(
      /^LlamaDecoderLayr: matches no module, expected a module name, class name or re: pattern\. Nearest: LlamaDecoderLayer, /,
    );
  });

  test("a pattern that is no regular expression is an error", () => {
    expect(() => matched("re:(")).toThrow(
      "re:(: not a regular expression, expected one that JavaScript can read. Correct it.",
    );
  });

  test("class names go up to, and without, Module", () => {
    expect(classNames(model)).toEqual(["LlamaForCausalLM", "CausalLM"]);
  });
});

test("the nearest names come first", () => {
  expect(nearestNames("q_porj", ["k_proj", "down_proj", "q_proj", "v_proj"], 2)).toEqual(["q_proj", "k_proj"]);
});

describe("binding", () => {
  const checkpoint = { folder: "model", tensors: new Map([["layer.weight", 0]]) };

  test("a parameter that the checkpoint lacks is named, with the nearest tensor", () => {
    const error =
      "model: no tensor shared.weight, expected one for every parameter of the model. Nearest: layer.weight.";
    expect(() => bindParameters(new Tied(), checkpoint, () => undefined)).toThrow(new CheckpointError(error));
  });

  test("a tensor of another shape is named with both shapes", () => {
    const source = (name: string) => ({ name, dtype: "F32", shape: [7], read: () => Promise.reject() }) as const;
    expect(() => bindParameters(new Tied(), checkpoint, source)).toThrow(
      "model: shared.weight has shape [7], expected [3, 2] from config.json. Get both of the same model.",
    );
  });
});
