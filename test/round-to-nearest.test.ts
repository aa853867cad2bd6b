import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { bindCheckpoint } from "../src/formats/bind-checkpoint.ts";
import { simulateActivations } from "../src/formats/simulate-activations.ts";
import { createModel } from "../src/models/registry.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { oneshot } from "../src/oneshot.ts";
import { toFloat32 } from "../src/tensor/convert.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { compress, evaluationIds, FIXTURES, hashOfWeights, readConfig, run } from "./compressed-fixture.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { runWhole } from "./run-model.ts";

/** How far logits may be off, as a root mean square relative to the logits' own. */
const EXACT = 2e-6;
/**
 * Where codes of activations are far apart, one value on the edge between two of them, which the last bit of a product
 * decides, is seen in the logits of every later token. Unsimulated, all of these are off by 0.03 to 0.1.
 */
const ONE_CODE_APART = 2e-2;

/**
 * What is compared of each recipe: does calibration find scales, which the last bits of products decide, and how near are
 * they? Of two ranges with almost the same error, a search may take either.
 */
const RECIPES: Readonly<Record<string, { calibrates?: boolean; scaleTolerance?: number; tolerance?: number }>> = {
  "rtn-w4a16": {},
  "rtn-w4a16_asym": {},
  "rtn-w8a16": {},
  "rtn-g32-sym": {},
  "rtn-g32-asym-mse": {},
  "rtn-imatrix-g32": {},
  "rtn-w8a8": { tolerance: ONE_CODE_APART },
  "rtn-w4a8": { tolerance: ONE_CODE_APART },
  "rtn-w4afp8": { tolerance: ONE_CODE_APART },
  "rtn-w8a8-static": { calibrates: true },
  "rtn-w8a8-mse": { calibrates: true, scaleTolerance: 2e-4, tolerance: ONE_CODE_APART },
  "rtn-fp8": { calibrates: true },
  "rtn-fp8_dynamic": { tolerance: ONE_CODE_APART },
  "rtn-fp8_block": {},
  "rtn-kv-fp8": { calibrates: true },
  "rtn-nvfp4a16": {},
  "rtn-nvfp4-mse": {},
  "rtn-nvfp4": { calibrates: true },
  "rtn-mxfp4a16": {},
  "rtn-mxfp4": {},
  "rtn-mxfp8": {},
  "rtn-mixed": { tolerance: ONE_CODE_APART },
};

const CALIBRATED_SCALE = /\.(input|[kv])_(global_)?scale$/;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "layerwise-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

describe.each(Object.entries(RECIPES))("%s", (name, { calibrates, scaleTolerance = 2e-6, tolerance = EXACT }) => {
  const reference = join(FIXTURES, name);
  let output: string;

  beforeAll(async () => {
    output = join(folder, name);
    await compress(name, output);
  }, 60_000);

  test("the configuration is the reference's", () => {
    expect(readConfig(output)).toEqual(readConfig(reference));
  });

  test(`the weights are the reference's, byte for byte${calibrates ? " but for calibrated scales" : ""}`, () => {
    if (!calibrates) return expect(hashOfWeights(output)).toBe(hashOfWeights(reference));
    const [ours, theirs] = [output, reference].map((path) => readSafetensors(join(path, "model.safetensors")));
    expect([...ours.keys()]).toEqual([...theirs.keys()]);
    for (const [tensor, expected] of theirs) {
      const found = ours.get(tensor);
      if (CALIBRATED_SCALE.test(tensor)) expect(found).toBeAllClose(expected, { rtol: scaleTolerance, atol: 0 });
      else expect(found, tensor).toEqual(expected);
    }
  });

  test("run with activations rounded as a runtime rounds them, the logits are those of transformers", async () => {
    const found = await logitsOf(output);
    const expected = readSafetensors(join(reference, "golden.safetensors")).get("logits") as Tensor<"F32">;
    expect(relativeError(found.data as Float32Array, expected.data)).toBeLessThan(tolerance);
  });

  test("a second compression takes the result", async () => {
    const again = join(folder, `${name}-again`);
    await oneshot({ ...run, model: output, recipe: "QuantizationModifier: {scheme: W8A16}", output: again });
    const tensors = [...readSafetensors(join(again, "model.safetensors")).keys()];
    const suffixes = new Set(
      tensors.filter((tensor) => /_proj|lm_head/.test(tensor)).map((tensor) => tensor.split(".").at(-1)),
    );
    expect(suffixes).toEqual(new Set(["weight_packed", "weight_scale", "weight_shape"]));
    expect(
      relativeError(toFloat32(await logitsOf(again)).data, toFloat32(await logitsOf(output, false)).data),
    ).toBeLessThan(0.05);
  });
});

test("queries and outputs that are quantized are calibrated, stored, and rounded in evaluation", async () => {
  const output = join(folder, "outputs");
  const float8 = { numBits: 8, type: "float", strategy: "attn_head" } as const;
  const recipe = new QuantizationModifier({
    configGroups: {
      attention: { targets: ["LlamaAttention"], inputActivations: float8 },
      linears: { targets: ["re:.*proj$"], weights: { strategy: "channel" }, outputActivations: { symmetric: false } },
    },
  });
  await oneshot({ ...run, recipe, output });
  const names = [...readSafetensors(join(output, "model.safetensors")).keys()];
  const prefix = "model.layers.1.self_attn.";
  const scales = names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  const expected = ["q_scale", "k_scale", "v_scale", "q_proj.output_scale", "q_proj.output_zero_point"];
  expect(scales).toEqual(expect.arrayContaining(expected));
  const [exact, rounded] = [await logitsOf(output, false), await logitsOf(output)].map(
    ({ data }) => data as Float32Array,
  );
  expect(relativeError(rounded, exact)).toBeGreaterThan(0.01);
  expect(relativeError(rounded, exact)).toBeLessThan(0.1);
});

test("a modifier that quantizes nothing writes a compressed checkpoint dense", async () => {
  const [compressed, output] = [join(folder, "compressed"), join(folder, "decompressed")];
  await oneshot({ ...run, recipe: "QuantizationModifier: {scheme: MXFP4A16}", output: compressed });
  const recipe = { name: "Nothing", options: {}, requiresCalibrationData: false, initialize() {}, async compress() {} };
  await oneshot({ ...run, model: compressed, recipe, output });
  expect(readConfig(output)).not.toHaveProperty("quantization_config");
  const tensors = readSafetensors(join(output, "model.safetensors"));
  expect(new Set([...tensors.values()].map(({ dtype }) => dtype))).toEqual(new Set(["F32", "BF16"]));
  expect((await logitsOf(output)).data).toEqual((await logitsOf(compressed)).data);
});

/** Logits of a checkpoint, with activations rounded or as they are. */
async function logitsOf(path: string, simulated = true): Promise<Tensor> {
  const checkpoint = await openCheckpoint(path);
  try {
    const model = createModel(checkpoint.config);
    bindCheckpoint(model, checkpoint);
    if (simulated) simulateActivations(model, checkpoint);
    return await runWhole(model, { input_ids: evaluationIds });
  } finally {
    await checkpoint.close();
  }
}

function relativeError(found: Float32Array, expected: Float32Array): number {
  const energy = expected.reduce((sum, value) => sum + value ** 2, 0);
  return Math.sqrt(expected.reduce((sum, value, index) => sum + (found[index] - value) ** 2, 0) / energy);
}
