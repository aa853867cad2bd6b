import { expect, test } from "vitest";
import { FIXTURES } from "../../test/compressed-fixture.ts";
import { openCheckpoint } from "../checkpoint/checkpoint.ts";
import { createModel } from "../models/registry.ts";
import { Attend } from "../nn/attend.ts";
import { observers } from "../observers/registry.ts";
import { QuantizationModifier } from "./quantization.ts";
import type { QuantizationOptions } from "./quantization-options.ts";

const checkpoint = await openCheckpoint(`${FIXTURES}model`);
await checkpoint.close();

/** A modifier that was initialised with the fixtures' model, and what it warned of. */
function initialized(options: QuantizationOptions, registry = observers) {
  const warnings: string[] = [];
  const model = createModel(checkpoint.config);
  const modifier = new QuantizationModifier(options, registry);
  modifier.initialize(model, { warn: (message) => warnings.push(message) });
  return { model, modifier, warnings };
}

const weights = { numBits: 8, strategy: "channel" } as const;
const group = (rest: object) => ({ configGroups: { group_0: { targets: ["Linear"], weights, ...rest } } });

test.each<[boolean, QuantizationOptions]>([
  [false, { scheme: "FP8_DYNAMIC" }],
  [false, { scheme: "MXFP8" }],
  [true, { scheme: "FP8" }],
  [true, { scheme: "NVFP4" }],
  [true, { scheme: "W4A16", kvCacheScheme: { type: "float" } }],
  [true, { scheme: "W4A16", weightObserver: "imatrix_mse" }],
  [false, { scheme: "W4A16", weightObserver: "mse" }],
  [true, group({ outputActivations: {} })],
])("calibration data is needed: %s, for %o", (needed, options) => {
  expect(new QuantizationModifier(options).requiresCalibrationData).toBe(needed);
});

test("linears that share a global scale have it all or none", () => {
  expect(() => initialized({ scheme: "NVFP4A16", ignore: ["re:.*k_proj", "lm_head"] })).toThrow(
    "model.layers.0.self_attn: only some of q_proj, k_proj, v_proj have strategy tensor_group, expected all or none, " +
      "since they share a global scale. Target all of them, or add all to ignore.",
  );
});

test("a static scale for each group of an input is refused, for every module at once", () => {
  const options = group({ inputActivations: { groupSize: 32 } });
  expect(() => initialized(options)).toThrow(
    "model.layers.0.self_attn.q_proj: input with strategy group and dynamic false, expected tensor. Or set dynamic: true.\n" +
      "model.layers.0.self_attn.k_proj: ",
  );
});

test("a group that targets attention quantizes what attention reads", () => {
  const args = { type: "float", strategy: "attn_head" } as const;
  const configGroups = { group_0: { targets: ["LlamaAttention"], inputActivations: args } };
  const { model, modifier } = initialized({ configGroups });
  const attends = model.namedModules().flatMap(([, module]) => (module instanceof Attend ? [module] : []));
  expect([...modifier.quantization.schemes.keys()]).toEqual(attends);
  expect(modifier.taps(attends[0]).map(({ value, reduce }) => [value, reduce.name])).toEqual([
    [0, "range_of_sequences_4"],
    [1, "range_of_sequences_2"],
    [2, "range_of_sequences_2"],
  ]);
});

test("a cache scheme alone is enough, and quantizes keys and values", () => {
  const { model, modifier } = initialized({ kvCacheScheme: { type: "float" } });
  const [attend] = model.namedModules().flatMap(([, module]) => (module instanceof Attend ? [module] : []));
  expect(modifier.taps(attend).map(({ value }) => value)).toEqual([1, 2]);
  expect(modifier.quantization.schemes.size).toBe(0);
});

test("each observer that is replaced is named once", () => {
  expect(initialized({ scheme: "W8A8", weightObserver: "minmax" }).warnings).toEqual([
    "Overriding weight observer for lower memory usage (minmax -> memoryless_minmax)",
  ]);
});

test("an observer of the user's own is found, and an unknown one is refused before any work", () => {
  const mine = { ...observers.memoryless_minmax, name: "mine" };
  const options = { scheme: "W8A8", weightObserver: "mine", inputObserver: "theirs" };
  expect(initialized(options, { ...observers, mine }).modifier.quantization.schemes.size).toBeGreaterThan(0);
  expect(() => new QuantizationModifier(options)).toThrow('observer: "mine" is unknown, expected one of');
  expect(() => initialized({ scheme: "FP8", inputObserver: "theirs" })).toThrow('observer: "theirs" is unknown');
});
