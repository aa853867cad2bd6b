import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { bindCheckpoint } from "../src/formats/bind-checkpoint.ts";
import { ARCHITECTURES } from "../src/gguf/architectures.ts";
import { createModel } from "../src/models/registry.ts";
import { Buffer, type Parameter } from "../src/nn/parameter.ts";
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
        atol: name.startsWith("gemma") ? 2e-2 : 1e-4,
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
