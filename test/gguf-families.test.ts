import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { modifierFor } from "../src/export/modifier-for.ts";
import { bindCheckpoint } from "../src/formats/bind-checkpoint.ts";
import { ARCHITECTURES } from "../src/gguf/architectures.ts";
import { createModel } from "../src/models/registry.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { Buffer, type Parameter } from "../src/nn/parameter.ts";
import { oneshot } from "../src/oneshot.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { readFixtureConfig } from "./fixture-model.ts";
import { agreement, exportGguf, ownLogits } from "./gguf-model.ts";
import { openGguf, topLogits } from "./llama-cpp.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const LONGROPE = {
  rope_type: "longrope",
  rope_theta: 10_000,
  short_factor: [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7],
  long_factor: [1, 2, 3, 4, 5, 6, 7, 8],
  original_max_position_embeddings: 512, // llama.cpp chooses the factors by the size of its context, which is 256 at least
};

/** Models under test/fixtures/models, and what is changed of their configuration. */
const MODELS: Readonly<Record<string, readonly [fixture: string, changes?: object]>> = {
  llama: ["llama"],
  "llama with llama3 angles": ["llama-rope3-untied"],
  "llama with longrope": ["llama", { rope_parameters: LONGROPE, max_position_embeddings: 2048 }],
  mistral: ["mistral", { sliding_window: null }], // llama.cpp leaves Mistral's window out
  mixtral: ["mixtral"],
  qwen2: ["qwen2"],
  qwen3: ["qwen3"],
  "qwen3 with yarn": [
    "qwen3",
    { rope_parameters: { rope_type: "yarn", factor: 4, rope_theta: 10_000, original_max_position_embeddings: 32 } },
  ],
  qwen2_moe: ["qwen2_moe"],
  qwen3_moe: ["qwen3_moe"],
  gemma2: ["gemma2"],
  gemma3: ["gemma3"],
  "gemma3 with capped logits and stretched angles": [
    "gemma3",
    {
      final_logit_softcapping: 20,
      layer_types: ["full_attention", "sliding_attention", "full_attention"],
      rope_parameters: {
        full_attention: { rope_type: "linear", factor: 8, rope_theta: 1_000_000 },
        sliding_attention: { rope_type: "default", rope_theta: 10_000 },
      },
    },
  ],
  gpt2: ["gpt2"],
  gpt_neox: ["gpt_neox"],
  "gpt_neox, one part after the other, half of a head rotated": [
    "gpt_neox",
    {
      use_parallel_residual: false,
      rope_parameters: { rope_type: "default", rope_theta: 20_000, partial_rotary_factor: 0.5 },
    },
  ],
  phi3: ["phi3"],
  "phi3 with longrope on half of a head": [
    "phi3",
    {
      rope_parameters: {
        ...LONGROPE,
        short_factor: [1, 1.1, 1.2, 1.3],
        long_factor: [1, 2, 3, 4],
        partial_rotary_factor: 0.5,
      },
      original_max_position_embeddings: 512,
      max_position_embeddings: 2048,
    },
  ],
};

/** llama.cpp computes GELU from a table of float16, and for GPT-NeoX with tanh. */
const COARSE = /^(gemma|gpt)/;

/** A folder with a fixture, and a tokenizer of single bytes. */
async function checkpointOf(name: string, more: object = {}): Promise<string> {
  const [fixture, changes] = MODELS[name];
  const folder = await temporaryFolder();
  await cp(fileURLToPath(new URL(`fixtures/models/${fixture}`, import.meta.url)), folder, { recursive: true });
  const config = { ...readFixtureConfig(fixture), ...changes, ...more };
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(byteTokenizer(ROWS)));
  return folder;
}

/** Rows of every fixture's embedding. */
const ROWS = 256;

/** A tokenizer of single bytes, for models that have none. */
function byteTokenizer(rows: number): object {
  const vocab = Object.fromEntries(
    Array.from({ length: Math.min(rows, 94) }, (_, i) => [String.fromCharCode(33 + i), i]),
  );
  const pre_tokenizer = { type: "ByteLevel", add_prefix_space: false, use_regex: true };
  const parts = { normalizer: null, pre_tokenizer, post_processor: null, decoder: { type: "ByteLevel" } };
  return { ...parts, model: { type: "BPE", vocab, merges: [] }, added_tokens: [] };
}

/** Tokens of all kinds, more than the fixtures' sliding windows have. */
const TOKENS = Array.from({ length: 24 }, (_, i) => (i * 37 + 5) % ROWS);

test("every architecture is tested", () => {
  const tested = Object.values(MODELS).map(([fixture]) => String(readFixtureConfig(fixture).model_type));
  expect(new Set(tested)).toEqual(new Set(ARCHITECTURES.flatMap(({ modelTypes }) => modelTypes)));
});

describe.each(Object.keys(MODELS))("%s", (name) => {
  test("llama.cpp's logits are those of our evaluation", async () => {
    const folder = await checkpointOf(name);
    const file = await exportGguf(folder, { dtype: ["F32"] });
    const found = await topLogits(await openGguf(file), TOKENS, ROWS);
    for (const [place, row] of (await ownLogits(folder, TOKENS)).entries()) {
      const logits = Float32Array.from({ length: ROWS }, (_, token) => found[place].get(token) as number);
      const expected = new Tensor("F32", [ROWS], Float32Array.from(row));
      expect(new Tensor("F32", [ROWS], logits)).toBeAllClose(expected, {
        atol: COARSE.test(name) ? 2e-2 : 1e-4,
      });
    }
  });

  test.each([
    ["F16", 0.02],
    ["Q8_0", 0.25], // llama.cpp rounds inputs to 8 bits too
  ])("llama.cpp has our best next token for %s, where the two best are %f apart", async (dtype, noise) => {
    const folder = await checkpointOf(name);
    expect(await agreement(await exportGguf(folder, { dtype: [dtype] }), folder, TOKENS, noise)).toBe(1);
  });

  test("the model comes back from its file", async () => {
    const folder = await checkpointOf(name);
    const file = await exportGguf(folder, { dtype: ["F32"] });
    const [found, expected] = [await parametersOf(file), await parametersOf(folder)];
    expect([...found.keys()]).toEqual([...expected.keys()]);
    for (const [path, tensor] of expected) expect(found.get(path), path).toBeAllClose(tensor, { atol: 1e-7 });
    const [foundLogits, logits] = [await ownLogits(file, TOKENS), await ownLogits(folder, TOKENS)];
    for (const [place, row] of logits.entries())
      expect(new Tensor("F32", [ROWS], Float32Array.from(foundLogits[place]))).toBeAllClose(
        new Tensor("F32", [ROWS], Float32Array.from(row)),
        { atol: 1e-4 },
      );
  });
});

/** A fixture without calibration data, rounded for Q8_0 where `targets` say. */
async function quantized(name: string, targets: string[]): Promise<string> {
  const output = join(await temporaryFolder(), "quantized");
  const weights = modifierFor("gguf", "Q8_0").options.configGroups?.group_0.weights;
  const recipe = new QuantizationModifier({ configGroups: { group_0: { targets, weights } }, ignore: ["lm_head"] });
  await oneshot({ model: await checkpointOf(name), recipe, output });
  return output;
}

test.each(["mixtral", "qwen2_moe", "qwen3_moe", "phi3", "gemma3"])(
  "codes and scales of %s lie in a file as they were, and llama.cpp computes with them",
  async (name) => {
    const folder = await quantized(name, ["Linear"]);
    const file = await exportGguf(folder, { dtype: ["Q8_0"] });
    const [found, expected] = [await parametersOf(file), await parametersOf(folder)];
    for (const [path, tensor] of expected) {
      // norms, embeddings and what no Linear has are not quantized
      if (path.endsWith("_proj.weight") || /\.w[123]\.weight$/.test(path))
        expect(found.get(path), path).toBeAllClose(tensor, { rtol: 1e-3 });
    }
    expect(await agreement(file, folder, TOKENS, 0.25)).toBe(1);
  },
);

test("experts of several types are refused", async () => {
  const folder = await quantized("mixtral", ["re:.*experts\\.0\\..*"]);
  await expect(exportGguf(folder)).rejects.toThrow(
    "model.layers.0.block_sparse_moe.experts.1.w1.weight: F16 beside model.layers.0.block_sparse_moe.experts.0.w1.weight of Q8_0, expected one type for all experts of a layer. Quantize them alike.",
  );
});

test.each([
  ["gemma2", { query_pre_attn_scalar: 24 }, "query_pre_attn_scalar 24, expected 16"],
  ["gemma2", { attn_logit_softcapping: null }, "attn_logit_softcapping null, expected a number"],
  ["gemma3", { attn_logit_softcapping: 30 }, "attn_logit_softcapping 30, expected null"],
  ["qwen3_moe", { norm_topk_prob: false }, "norm_topk_prob false, expected true"],
])("%s with %j is refused", async (name, changes, message) => {
  await expect(exportGguf(await checkpointOf(name, changes))).rejects.toThrow(
    `config.json: ${message}: llama.cpp knows nothing else for `,
  );
});

test("rotary angles that llama.cpp has no tensor for are refused", async () => {
  const rope_parameters = { ...LONGROPE, rope_theta: 10_000 };
  const folder = await checkpointOf("qwen3", { rope_parameters, max_position_embeddings: 2048 });
  await expect(exportGguf(folder)).rejects.toThrow(
    "rope_parameters.rope_type: longrope, expected what llama.cpp knows",
  );
});

/** Values of a checkpoint's parameters, by path. */
async function parametersOf(path: string): Promise<Map<string, Tensor>> {
  const checkpoint = await openCheckpoint(path);
  try {
    const model = createModel(checkpoint.config);
    bindCheckpoint(model, checkpoint);
    const own = model.namedParameters().filter(([, parameter]) => !(parameter instanceof Buffer));
    const load = async ([name, parameter]: [string, Parameter]) => [name, await parameter.load()] as const;
    return new Map(await Promise.all(own.map(load)));
  } finally {
    await checkpoint.close();
  }
}
