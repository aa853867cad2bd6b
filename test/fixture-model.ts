import { readFileSync } from "node:fs";
import { CheckpointError } from "../src/errors.ts";
import type { CausalLM } from "../src/models/causal-lm.ts";
import { createModel } from "../src/models/registry.ts";
import { Buffer } from "../src/nn/parameter.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { readSafetensors } from "./read-safetensors.ts";

/** The models under test/fixtures/models, one for each family at least. */
export const FIXTURE_MODELS = [
  "llama",
  "llama-rope3-untied",
  "mistral",
  "qwen2",
  "qwen3",
  "gemma2",
  "gemma3",
  "phi3",
  "mixtral",
  "qwen2_moe",
  "qwen3_moe",
  "gpt2",
  "opt",
  "gpt_neox",
];

/** Those whose positions are learnt, not angles. */
export const LEARNT_POSITIONS = ["gpt2", "opt"];

const FOLDER = new URL("./fixtures/models/", import.meta.url);

/** The config.json of a model under test/fixtures/models. */
export function readFixtureConfig(name: string): Record<string, unknown> {
  return JSON.parse(readFileSync(new URL(`${name}/config.json`, FOLDER), "utf8")) as Record<string, unknown>;
}

/** A model under test/fixtures/models with its weights; `changes` overrule its config.json, `weights` those of its file. */
export function loadFixtureModel(
  name: string,
  changes: Readonly<Record<string, unknown>> = {},
  weights: ReadonlyMap<string, Tensor> = new Map(),
): CausalLM {
  const model = createModel({ ...readFixtureConfig(name), ...changes });
  const tensors = readSafetensors(new URL(`${name}/model.safetensors`, FOLDER));
  for (const [path, parameter] of model.namedParameters()) {
    if (parameter instanceof Buffer) continue;
    const tensor = weights.get(path) ?? tensors.get(path);
    if (!tensor) throw new CheckpointError(`${name}: no tensor ${path}, expected one for every parameter.`);
    parameter.source = { name: path, dtype: tensor.dtype, shape: tensor.shape, read: async () => tensor };
  }
  return model;
}

/** What transformers makes of a fixture: `logits` of a padded batch, `logits_unpadded` of its first row alone. */
export function readGoldenLogits(name: string): ReadonlyMap<string, Tensor> {
  return readSafetensors(new URL(`${name}/golden.safetensors`, FOLDER));
}
