import { describe, expect, test } from "vitest";
import { loadFixtureModel } from "../../test/fixture-model.ts";
import { RecipeError } from "../errors.ts";
import { matchModules } from "../nn/match.ts";
import { populateConcreteArgs } from "./concrete-args.ts";
import { getSequentialAncestors, getSequentialTargets } from "./targets.ts";

const model = loadFixtureModel("llama");
const pathsOf = (modules: ReadonlySet<unknown>) =>
  model.namedModules().flatMap(([path, module]) => (modules.has(module) ? [path] : []));

describe("getSequentialAncestors", () => {
  test("are the modules on the way to a target, without the targets", () => {
    expect(pathsOf(getSequentialAncestors(model, matchModules(model, ["LlamaDecoderLayer"])))).toEqual(["", "model"]);
  });

  test("a target inside a target adds nothing", () => {
    const nested = matchModules(model, ["LlamaDecoderLayer", "Linear"]);
    expect(pathsOf(getSequentialAncestors(model, nested))).toEqual(["", "model"]);
  });

  test("there are none without targets, or if the root is the target", () => {
    expect(getSequentialAncestors(model, new Set())).toEqual(new Set());
    expect(getSequentialAncestors(model, new Set([model]))).toEqual(new Set());
  });
});

describe("getSequentialTargets", () => {
  const giver = { name: "GPTQModifier", sequentialTargets: ["LlamaMLP"] };
  const silent = { name: "SmoothQuantModifier" };

  test("are the model's decoder layers where nobody says otherwise", () => {
    expect(getSequentialTargets([silent], model)).toEqual(["LlamaDecoderLayer"]);
  });

  test("come from the one modifier or from the arguments that name them", () => {
    expect(getSequentialTargets([silent, giver], model)).toEqual(["LlamaMLP"]);
    expect(getSequentialTargets([silent], model, { sequentialTargets: "Linear" })).toEqual(["Linear"]);
  });

  test("given twice are an error that names both sides", () => {
    const error =
      "sequential targets: given by GPTQModifier and the argument sequentialTargets, expected one of them. Remove all but one.";
    expect(() => getSequentialTargets([giver], model, { sequentialTargets: ["Linear"] })).toThrow(
      new RecipeError(error),
    );
    expect(() => getSequentialTargets([giver, { ...giver, name: "Other" }], model)).toThrow(
      "given by GPTQModifier and Other",
    );
  });
});

describe("populateConcreteArgs", () => {
  test("gives defaults for all that the sample lacks; use_cache is false", () => {
    expect(populateConcreteArgs(model, { input_ids: 0 })).toEqual({
      attention_mask: null,
      position_ids: null,
      use_cache: false,
    });
  });

  test("gives nothing for variadic arguments", () => {
    const variadic = Object.assign(Object.create(model), {
      forwardParameters: [
        { name: "args", variadic: "positional" },
        { name: "kwargs", variadic: "keyword" },
      ],
    });
    expect(populateConcreteArgs(variadic, {})).toEqual({ args: [], kwargs: {} });
  });

  test("names a required argument that the sample lacks", () => {
    expect(() => populateConcreteArgs(model, { attention_mask: 0 })).toThrow(
      "sample input: no input_ids among attention_mask, expected a value for it. Add it to every batch.",
    );
  });
});
