import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { bindCheckpoint } from "../../src/formats/bind-checkpoint.ts";
import { simulateActivations } from "../../src/formats/simulate-activations.ts";
import { createModel } from "../../src/models/registry.ts";
import { oneshot } from "../../src/oneshot.ts";
import type { OneshotOptions } from "../../src/oneshot-options.ts";
import { Tensor } from "../../src/tensor/tensor.ts";
import { runSequentially } from "../run-model.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const mobyTiny = here("../../examples/moby-tiny");
const tiny = (name: string) => here(`../fixtures/models/${name}`);
const ids = Array.from({ length: 48 }, (_, index) => (index * 37 + 5) % 256);

const gptq = {
  model: mobyTiny,
  recipe: here("../../examples/gptq-w4a16.yaml"),
  dataset: here("../../examples/calibration.jsonl"),
  maxSeqLength: 256,
  numCalibrationSamples: 32,
};

/** One group of 4 bits, by hand, in JSON, which is YAML too. */
const int4 = (weights: object, ignore = ["lm_head"]) => {
  const group = { targets: ["Linear"], weights: { num_bits: 4, type: "int", symmetric: true, ...weights } };
  return JSON.stringify({ QuantizationModifier: { config_groups: { group_0: group }, ignore } });
};

/** What is compressed, by name. Tensors are saved in F32 where both sides should decompress in it. */
const CASES = {
  "the demo's GPTQ in the model's BF16": gptq,
  "GPTQ in F32": { ...gptq, precision: "F32" },
  "4 bits, symmetric": {
    model: mobyTiny,
    recipe: "QuantizationModifier: {scheme: W4A16, ignore: [lm_head]}",
    precision: "F32",
  },
  "4 bits, asymmetric": {
    model: mobyTiny,
    recipe: "QuantizationModifier: {scheme: W4A16_ASYM, ignore: [lm_head]}",
    precision: "F32",
  },
  "8 bits": {
    model: mobyTiny,
    recipe: "QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}",
    precision: "F32",
  },
  "a quantized lm_head, untied": {
    model: mobyTiny,
    recipe: "QuantizationModifier: {scheme: W8A16}",
    precision: "F32",
  },
  "8 bits with inputs of 8 bits, token by token": {
    model: mobyTiny,
    recipe: "QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}",
    precision: "F32",
  },
  "float8, inputs with a static scale": {
    ...gptq,
    recipe: "QuantizationModifier: {scheme: FP8, ignore: [lm_head]}",
    precision: "F32",
  },
  "float8 in blocks, inputs in groups": {
    model: mobyTiny,
    recipe: "QuantizationModifier: {scheme: FP8_BLOCK, ignore: [lm_head]}",
    precision: "F32",
  },
  "Llama in groups of 32": { model: tiny("llama"), recipe: int4({ strategy: "group", group_size: 32 }) },
  "Mistral by channels": { model: tiny("mistral"), recipe: int4({ strategy: "channel" }) },
  "Qwen2, asymmetric, in groups of 16": {
    model: tiny("qwen2"),
    recipe: int4({ strategy: "group", group_size: 16, symmetric: false }),
  },
  "Gemma 2 by channels": { model: tiny("gemma2"), recipe: int4({ strategy: "channel" }) },
  "Gemma 3 in groups of 32": { model: tiny("gemma3"), recipe: int4({ strategy: "group", group_size: 32 }) },
  "Phi-3 in groups of 64": { model: tiny("phi3"), recipe: int4({ strategy: "group", group_size: 64 }) },
  "Mixtral in groups of 32": { model: tiny("mixtral"), recipe: int4({ strategy: "group", group_size: 32 }) },
  "Qwen3-MoE in groups of 32": { model: tiny("qwen3_moe"), recipe: int4({ strategy: "group", group_size: 32 }) },
  "Qwen2-MoE in groups of 32": { model: tiny("qwen2_moe"), recipe: int4({ strategy: "group", group_size: 32 }) },
  "Mixtral with half of its experts": {
    model: tiny("mixtral"),
    recipe: "REAPPruningModifier: {sparsity: 0.5}",
    dataset: [{ input_ids: ids }],
  },
  "GPT-2, lm_head alone": { model: tiny("gpt2"), recipe: int4({ strategy: "channel" }, []) },
  "OPT in groups of 32": { model: tiny("opt"), recipe: int4({ strategy: "group", group_size: 32 }) },
  "GPT-NeoX in groups of 32": { model: tiny("gpt_neox"), recipe: int4({ strategy: "group", group_size: 32 }) },
  "Qwen3 in groups of 32": { model: tiny("qwen3"), recipe: int4({ strategy: "group", group_size: 32 }) },
} satisfies Record<string, Omit<OneshotOptions, "output">>;
const names = Object.keys(CASES);

let folder: string;
let theirs: number[][];

beforeAll(async () => {
  await expectEnvironment();
  folder = await mkdtemp(join(tmpdir(), "layerwise-"));
  const outputs = names.map((_, index) => join(folder, String(index)));
  for (const [index, options] of Object.values(CASES).entries())
    await oneshot({ ...options, output: outputs[index], threads: 1 });
  const [idsFile, out] = [join(folder, "ids.json"), join(folder, "logits.json")];
  await writeFile(idsFile, JSON.stringify(ids));
  await promisify(execFile)(here("../../.venv/bin/python"), [here("logits.py"), idsFile, out, ...outputs]);
  theirs = JSON.parse(await readFile(out, "utf8"));
}, 600_000);

afterAll(() => folder && rm(folder, { recursive: true, force: true }));

test.each(names)("transformers computes the logits that layerwise does: %s", async (name) => {
  const index = names.indexOf(name);
  const [ours, data] = [await logitsOf(join(folder, String(index))), theirs[index]];
  const largest = data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const tolerance = /inputs|float8/.test(name) ? 5e-2 : 1e-4; // of an input between two codes, the last bit decides
  expect(ours).toBeAllClose({ shape: ours.shape, data }, { atol: tolerance * largest });
});

async function logitsOf(path: string): Promise<Tensor> {
  const checkpoint = await openCheckpoint(path);
  const model = createModel(checkpoint.config);
  bindCheckpoint(model, checkpoint);
  simulateActivations(model, checkpoint);
  const batch = { input_ids: new Tensor("I64", [1, ids.length], BigInt64Array.from(ids, BigInt)) };
  return runSequentially(model, batch).finally(() => checkpoint.close());
}

async function expectEnvironment(): Promise<void> {
  const [wanted, installed] = await Promise.all(
    [here("requirements.txt"), here("../../.venv/requirements.txt")].map((file) =>
      readFile(file, "utf8").catch(() => undefined),
    ),
  );
  if (wanted === installed) return;
  throw new Error(
    ".venv: not what test/interop/requirements.txt asks for. Run `npm run interop:setup`, with Python 3.10 or newer.",
  );
}
