import { expect, test } from "vitest";
import { ropeParameters, standardizeRope } from "./rope-config.ts";

const factors = { short_factor: [1, 2], long_factor: [3, 4] };

test.each<[spelling: string, config: Record<string, unknown>, parameters: Record<string, unknown>]>([
  ["nothing", {}, { rope_type: "default" }],
  ["null for both", { rope_scaling: null, rope_parameters: null }, { rope_type: "default" }],
  ["a base alone", { rope_theta: 5e5 }, { rope_type: "default", rope_theta: 5e5 }],
  [
    "rope_scaling with type",
    { rope_theta: 5e5, rope_scaling: { type: "linear", factor: 2 } },
    { rope_type: "linear", rope_theta: 5e5, factor: 2 },
  ],
  ["rope_scaling with both kinds", { rope_scaling: { type: "linear", rope_type: "yarn" } }, { rope_type: "yarn" }],
  [
    "rope_parameters beside an old base",
    { rope_theta: 1e4, rope_parameters: { rope_type: "default", rope_theta: 1e6 } },
    { rope_type: "default", rope_theta: 1e6 },
  ],
  [
    "Phi-3's, its first name for LongRoPE included",
    { rope_theta: 1e4, original_max_position_embeddings: 4096, rope_scaling: { type: "su", ...factors } },
    { rope_type: "longrope", rope_theta: 1e4, original_max_position_embeddings: 4096, ...factors },
  ],
  [
    "an original length in both places",
    {
      original_max_position_embeddings: 4096,
      rope_parameters: { rope_type: "yarn", original_max_position_embeddings: 1 },
    },
    { rope_type: "yarn", original_max_position_embeddings: 4096 },
  ],
  [
    "a rotated part at the top level",
    { partial_rotary_factor: 0.75, rope_scaling: null },
    { rope_type: "default", partial_rotary_factor: 0.75 },
  ],
])("%s becomes rope_parameters", (_, config, parameters) => {
  expect(standardizeRope(config).rope_parameters).toMatchObject(parameters);
});

test("other keys of a configuration stay, and the configuration itself is not changed", () => {
  const config = Object.freeze({ hidden_size: 64, rope_theta: 5e5, rope_scaling: null });
  expect(standardizeRope(config)).toMatchObject({ hidden_size: 64 });
});

test.each<[given: unknown, message: string]>([
  [{ type: "spiral" }, '"spiral", expected one of: default, linear, dynamic, llama3, yarn, longrope'],
  [{ type: null, rope_type: 3 }, "3, expected one of: default, linear, dynamic, llama3, yarn, longrope"],
  ["linear", "Invalid input: expected object, received string"],
  [["linear"], "Invalid input: expected object, received array"],
  [{ type: "linear" }, "Invalid input: expected number, received undefined"],
  [{ type: "dynamic", factor: 0 }, "Too small: expected number to be >0"],
])("a rope_scaling that makes no sense is an error: case %#", (rope_scaling, message) => {
  const result = ropeParameters.safeParse(standardizeRope({ rope_scaling }).rope_parameters);
  expect(result.error?.issues.map((issue) => issue.message)).toEqual([message]);
});
