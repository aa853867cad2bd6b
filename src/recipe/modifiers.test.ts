import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { RecipeError } from "../errors.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import { closed } from "./fields.ts";
import { createModifiers, defineModifier, modifierTypes, type RecipeSource } from "./modifiers.ts";
import { parseRecipe } from "./parse.ts";

const fixtures = join(import.meta.dirname, "../../test/fixtures/recipes");

/** Class and options of each modifier, or the message that refuses the recipe. */
function create(recipe: RecipeSource): unknown {
  try {
    return createModifiers(recipe).map(({ name, options }) => ({ [name]: options }));
  } catch (error) {
    return error instanceof RecipeError ? error.message : error;
  }
}

const gptq = (fields: string) => create(`GPTQModifier:\n  scheme: W4A16\n${fields.replace(/^/gm, "  ")}`);

describe("fields become options", () => {
  test("rotations in any case, and what leaves them as they are", () => {
    const spinQuant =
      "SpinQuantModifier: {rotations: [r1, R2], transform_type: random-hadamard, transform_block_size: 32}";
    const quip = "QuIPModifier: {rotations: [V], targets: Linear, precision: torch.float64, randomize: false}";
    expect(create(`${spinQuant}\n${quip}`)).toEqual([
      { SpinQuantModifier: { rotations: ["R1", "R2"], transformType: "random-hadamard", transformBlockSize: 32 } },
      { QuIPModifier: { rotations: ["v"], targets: ["Linear"] } },
    ]);
  });

  test("names change to our spelling, values stay, and what is not given is left out", () => {
    const text = `
quant_stage:
  quant_modifiers:
    GPTQModifier:
      config_groups:
        group_0:
          targets: [Linear]
          weights: {num_bits: 4, group_size: 32, block_structure: null, observer_kwargs: {max_shrink: 0.2}}
          input_activations: null
      targets: Linear
      ignore: [lm_head, 're:.*gate$']
      block_size: 64
      dampening_frac: 0.1
      weight_observer: minmax
      start: null
      group: quant`;
    expect(create(text)).toEqual([
      {
        GPTQModifier: {
          configGroups: {
            group_0: {
              targets: ["Linear"],
              weights: { numBits: 4, groupSize: 32, blockStructure: null, observerKwargs: { max_shrink: 0.2 } },
              inputActivations: null,
            },
          },
          targets: ["Linear"],
          ignore: ["lm_head", "re:.*gate$"],
          blockSize: 64,
          dampeningFrac: 0.1,
          weightObserver: "minmax",
        },
      },
    ]);
  });

  test("null is the same as left out, but for actorder", () => {
    const options = (fields: string) => (gptq(fields) as { GPTQModifier: object }[])[0].GPTQModifier;
    expect(options("config_groups: null\nweight_observer: null\nobserver: null")).toStrictEqual({ scheme: "W4A16" });
    expect(options("actorder: null")).toStrictEqual({ scheme: "W4A16", actorder: null });
  });

  test("what is quantized beside weights, and llm-compressor's own fields, are read", () => {
    const text =
      "QuantizationModifier: {scheme: FP8, kv_cache_scheme: {num_bits: 8, type: float}, input_observer: minmax, requires_calibration_data: true}";
    expect(create(text)).toEqual([
      {
        QuantizationModifier: {
          scheme: "FP8",
          kvCacheScheme: { numBits: 8, type: "float" },
          inputObserver: "minmax",
        },
      },
    ]);
    expect(create("QuantizationModifier: {scheme: FP8, observer: {input: minmax, output: mse}}")).toEqual([
      { QuantizationModifier: { scheme: "FP8", inputObserver: "minmax", outputObserver: "mse" } },
    ]);
  });

  test("a scheme may give presets their targets, and observer is another spelling of weight_observer", () => {
    expect(create("QuantizationModifier: {scheme: {W8A16: [a], W4A16: b}, observer: {weights: minmax}}")).toEqual([
      { QuantizationModifier: { scheme: { W8A16: ["a"], W4A16: ["b"] }, weightObserver: "minmax" } },
    ]);
  });

  test("fields of other releases that change nothing are read", () => {
    const fields =
      "offload_hessians: true\nbatched_quantization: auto\nsequential_update: true\nsequential_targets: null";
    expect(gptq(fields)).toEqual([{ GPTQModifier: { scheme: "W4A16" } }]);
  });
});

describe("recipes of the reference's checkpoints", () => {
  const names = readdirSync(fixtures);
  test("there are some", () => expect(names.length).toBe(22));

  test.each(names.filter((name) => name !== "rtn-kv-fp8.yaml"))("%s has fields that fit", (name) => {
    const text = readFileSync(join(fixtures, name), "utf8");
    for (const { className, fields } of parseRecipe(text).stages.flatMap(({ modifiers }) => modifiers)) {
      expect(modifierTypes[className].schema.safeParse(fields)).toMatchObject({ success: true });
    }
  });

  test("those for integer weights become modifiers", () => {
    const group = { numBits: 4, type: "int", strategy: "group", groupSize: 32 };
    const asym = { group_0: { targets: ["Linear"], weights: { ...group, symmetric: false } } };
    const sym = { group_0: { targets: ["Linear"], weights: { ...group, symmetric: true } } };
    const ignore = ["lm_head"];
    expect(create(join(fixtures, "gptq-g32-asym-static.yaml"))).toEqual([
      { GPTQModifier: { ignore, actorder: "static", configGroups: asym } },
    ]);
    expect(create(join(fixtures, "gptq-g32-sym-none.yaml"))).toEqual([
      { GPTQModifier: { ignore, actorder: null, configGroups: sym } },
    ]);
    expect(create(join(fixtures, "rtn-w4a16.yaml"))).toEqual([
      { QuantizationModifier: { ignore, targets: ["Linear"], scheme: "W4A16" } },
    ]);
  });
});

describe("errors name line, column and field", () => {
  test.each([
    [
      "dampning_frac: 0.1",
      "recipe:3:3: GPTQModifier.dampning_frac: unknown field, expected one such as dampening_frac, ignore, index.",
    ],
    ["block_size: many", 'recipe:3:3: GPTQModifier.block_size: found "many", expected a number.'],
    ["block_size: 0", "recipe:3:3: GPTQModifier.block_size: found 0, expected more than 0."],
    ["dampening_frac: -1", "recipe:3:3: GPTQModifier.dampening_frac: found -1, expected at least 0."],
    ["refinement_sweeps: -1", "recipe:3:3: GPTQModifier.refinement_sweeps: found -1, expected at least 0."],
    ["preset: finest", 'recipe:3:3: GPTQModifier.preset: found "finest", expected best.'],
    ["actorder: group", 'recipe:3:3: GPTQModifier.actorder: found "group", expected static, weight or null.'],
    ["ignore: 3", "recipe:3:3: GPTQModifier.ignore: found 3, expected a list of names."],
    ["start: 0.5", "recipe:3:3: GPTQModifier.start: found 0.5, expected null. A schedule is for training."],
    [
      "kv_cache_scheme: {num_bits: 9}",
      "recipe:3:3: GPTQModifier.kv_cache_scheme: num_bits 9, expected 1 to 8 for type int.",
    ],
    [
      "observer: {weights: a}\nweight_observer: b",
      "recipe:3:3: GPTQModifier.observer: given with weight_observer, input_observer or output_observer, expected one spelling.",
    ],
    [
      "config_groups:\n  g:\n    targets: [Linear]\n    weights:\n      bits: 4",
      "recipe:7:9: GPTQModifier.config_groups.g.weights.bits: unknown field, expected one such as num_bits, type, strategy.",
    ],
    [
      "config_groups:\n  g:\n    targets: [Linear]\n    weights: {num_bits: 4, group_size: 1.5}",
      "recipe:6:30: GPTQModifier.config_groups.g.weights.group_size: found 1.5, expected an integer.",
    ],
    [
      "config_groups:\n  g:\n    targets: [Linear]\n    weights: {num_bits: 9}",
      "recipe:6:7: GPTQModifier.config_groups.g.weights: num_bits 9, expected 1 to 8 for type int.",
    ],
    [
      "config_groups:\n  g:\n    weights: {num_bits: 4}",
      "recipe:4:5: GPTQModifier.config_groups.g.targets: missing, expected a list.",
    ],
    [
      "config_groups: {g: {targets: [Linear]}}",
      "recipe:1:1: GPTQModifier: both scheme and config_groups, expected one of them. Remove the other.",
    ],
  ])("%j", (fields, message) => {
    expect(gptq(fields)).toBe(message);
  });

  test("all at once", () => {
    expect(gptq("block_size: x\ntypo: 1")).toBe(
      'recipe:3:3: GPTQModifier.block_size: found "x", expected a number.\n' +
        "recipe:4:3: GPTQModifier.typo: unknown field, expected one such as start, end, index.",
    );
  });

  test("an unknown class, and fields that are no mapping", () => {
    expect(create("q_stage:\n  q_modifiers:\n    GPTQModifer: {}")).toBe(
      `recipe:3:5: no modifier "GPTQModifer", expected one of ${Object.keys(modifierTypes).join(", ")}.`,
    );
    expect(create("GPTQModifier: W4A16")).toBe('recipe:1:1: GPTQModifier: found "W4A16", expected a mapping.');
    expect(create("- constructor")).toBe(
      `recipe:1:3: no modifier "constructor", expected one of ${Object.keys(modifierTypes).join(", ")}.`,
    );
  });
});

test("modifiers of one's own are found in the registry that is given", () => {
  const make = (options: object): Modifier => ({
    name: "MyModifier",
    options,
    requiresCalibrationData: false,
    initialize() {},
    async compress() {},
  });
  const registry = { ...modifierTypes, MyModifier: defineModifier(closed({ my_field: z.number() }), make) };
  expect(createModifiers("MyModifier: {my_field: 3}", { registry })[0].options).toEqual({ myField: 3 });
  expect(create("MyModifier: {my_field: 3}")).toBe(
    `recipe:1:1: no modifier "MyModifier", expected one of ${Object.keys(modifierTypes).join(", ")}.`,
  );
});

test("modifiers that are made already, and parsed recipes, are taken as they are", () => {
  const [modifier] = createModifiers(parseRecipe("GPTQModifier: {scheme: W4A16}"));
  expect(createModifiers(modifier)).toEqual([modifier]);
  expect(createModifiers([modifier, modifier])[1]).toBe(modifier);
});

test("whatever fields a modifier is given, the outcome is a modifier or a RecipeError", () => {
  const field = fc.constantFrom(
    ..."scheme config_groups targets ignore weight_observer observer actorder block_size dampening_frac group".split(
      " ",
    ),
  );
  const arg = fc.constantFrom("num_bits", "type", "strategy", "group_size", "block_structure", "targets", "weights");
  const value = fc.oneof(
    fc.jsonValue(),
    fc.dictionary(arg, fc.oneof(fc.jsonValue(), fc.dictionary(arg, fc.jsonValue()))),
  );
  const groups = fc.record({ config_groups: fc.record({ g: value }) });
  fc.assert(
    fc.property(fc.oneof(fc.dictionary(field, value), groups), (fields) => {
      const outcome = create(JSON.stringify({ GPTQModifier: fields }));
      expect(Array.isArray(outcome) || typeof outcome === "string", String(outcome)).toBe(true);
    }),
    { numRuns: 500 },
  );
});
