import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { tokenizerFiles } from "../src/data/tokenizer.ts";
import { exportModel } from "../src/export/export-model.ts";
import { ExportSource } from "../src/export/export-source.ts";
import { modifierFor } from "../src/export/modifier-for.ts";
import { PRE_TOKENIZERS } from "../src/gguf/pre-tokenizers.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { oneshot } from "../src/oneshot.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { readFixtureConfig } from "./fixture-model.ts";
import { openGguf, tokenize, topLogits } from "./llama-cpp.ts";
import { runWhole } from "./run-model.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { VARIED_STRINGS } from "./varied-strings.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const moby = here("../examples/moby-tiny");

/** Exports a checkpoint, and returns the path of its only file. */
async function exportGguf(model: string, options: { dtype?: string[]; embeddingDtype?: string } = {}): Promise<string> {
  const output = join(await temporaryFolder(), "gguf");
  await exportModel({ model, format: ["gguf"], output, ...options });
  const [file, ...others] = await readdir(output);
  expect(others).toEqual([]);
  return join(output, file);
}

/** moby-tiny, rounded to nearest with a scheme for a type of GGUF. */
async function quantize(dtype: string): Promise<string> {
  const output = join(await temporaryFolder(), "quantized");
  const weights = modifierFor("gguf", dtype).options.configGroups?.group_0.weights;
  const recipe = new QuantizationModifier({
    configGroups: { group_0: { targets: ["Linear"], weights } },
    ignore: ["lm_head"],
    weightObserver: "memoryless_minmax", // without data
  });
  await oneshot({ model: moby, recipe, output });
  return output;
}

/** The first tokens of the text that the example has not seen. */
async function evaluationTokens(count: number): Promise<number[]> {
  const text = await readFile(here("../examples/evaluation.txt"), "utf8");
  const { tokenizer } = await tokenizerFiles(moby);
  return tokenizer.encode(text.slice(0, 8 * count), { addSpecialTokens: false }).slice(0, count);
}

/** Our own logits of a checkpoint, a row for each token. */
async function ownLogits(folder: string, tokens: readonly number[]): Promise<Float32Array[]> {
  const source = await ExportSource.open(folder);
  try {
    const batch = { input_ids: new Tensor("I64", [1, tokens.length], BigInt64Array.from(tokens, BigInt)) };
    const { shape, data } = (await runWhole(source.model, batch)) as Tensor<"F32">;
    return tokens.map((_, row) => data.subarray(row * shape[2], (row + 1) * shape[2]));
  } finally {
    await source.close();
  }
}

/** The two best tokens of a row of logits. */
function best(logits: Float32Array): { token: number; margin: number } {
  const [first, second] = [...logits.keys()].sort((a, b) => logits[b] - logits[a]);
  return { token: first, margin: logits[first] - logits[second] };
}

/** The share of places at which llama.cpp and our evaluation of `folder` have the same best next token. */
async function agreement(file: string, folder: string, tokens: readonly number[], noise = 0): Promise<number> {
  const [theirs, ours] = [await topLogits(await openGguf(file), tokens, 1), await ownLogits(folder, tokens)];
  const clear = ours.map(best).flatMap(({ token, margin }, row) => (margin > noise ? [{ token, row }] : []));
  return clear.filter(({ token, row }) => theirs[row].has(token)).length / clear.length;
}

describe("under teacher forcing, llama.cpp's best next token is that of our evaluation", { timeout: 300_000 }, () => {
  let tokens: number[];
  beforeAll(async () => {
    tokens = await evaluationTokens(256);
  });

  test.each(["F32", "F16", "BF16"])("everywhere for %s, where the two best are apart", async (dtype) => {
    expect(await agreement(await exportGguf(moby, { dtype: [dtype] }), moby, tokens, 0.05)).toBe(1);
  });

  test.each([
    ["Q8_0", 0.99],
    ["Q4_0", 0.95],
    ["Q4_1", 0.95],
    ["Q4_K", 0.95],
    ["Q6_K", 0.95],
  ])("for calibrated %s at %f of the places", async (dtype, share) => {
    const folder = await quantize(dtype);
    const file = await exportGguf(folder, { dtype: [dtype] });
    expect(await agreement(file, folder, tokens)).toBeGreaterThanOrEqual(share);
  });
});

test.each(["llama", "llama-rope3-untied", "mistral", "qwen2", "qwen3"])(
  "llama.cpp's logits of %s are those of our evaluation",
  async (name) => {
    const folder = await temporaryFolder();
    await cp(here(`fixtures/models/${name}`), folder, { recursive: true });
    // llama.cpp has no sliding window for these models
    const config = readFixtureConfig(name);
    if (name === "mistral") config.sliding_window = null;
    const rows = Number(config.vocab_size);
    await writeFile(join(folder, "config.json"), JSON.stringify(config));
    await writeFile(join(folder, "tokenizer.json"), JSON.stringify(byteTokenizer(rows)));
    const tokens = Array.from({ length: 12 }, (_, i) => (i * 37 + 5) % rows);
    const found = await topLogits(await openGguf(await exportGguf(folder, { dtype: ["F32"] })), tokens, rows);
    for (const [place, row] of (await ownLogits(folder, tokens)).entries()) {
      const expected = Float32Array.from(row);
      const logits = Float32Array.from(expected, (_, token) => found[place].get(token) as number);
      expect(new Tensor("F32", [rows], logits)).toBeAllClose(new Tensor("F32", [rows], expected), { atol: 1e-4 });
    }
  },
);

/** A tokenizer of single bytes, for models that have none. */
function byteTokenizer(rows: number): object {
  const vocab = Object.fromEntries(
    Array.from({ length: Math.min(rows, 94) }, (_, i) => [String.fromCharCode(33 + i), i]),
  );
  const pre_tokenizer = { type: "ByteLevel", add_prefix_space: false, use_regex: true };
  const parts = { normalizer: null, pre_tokenizer, post_processor: null, decoder: { type: "ByteLevel" } };
  return { ...parts, model: { type: "BPE", vocab, merges: [] }, added_tokens: [] };
}

describe("llama.cpp cuts 200 varied strings into the tokens of tokenizer.json", { timeout: 300_000 }, () => {
  test.each(PRE_TOKENIZERS.map(({ name }) => name))("with the pre-tokenizer %s", async (name) => {
    const folder = await temporaryFolder();
    await cp(moby, folder, { recursive: true });
    await writeFile(join(folder, "tokenizer.json"), JSON.stringify(await tokenizerWith(name)));
    const { tokenizer } = await tokenizerFiles(folder);
    const model = await openGguf(await exportGguf(folder));
    expect(VARIED_STRINGS.map((text) => tokenize(model, text))).toEqual(
      VARIED_STRINGS.map((text) => tokenizer.encode(text, { addSpecialTokens: false })),
    );
  });
});

/** moby-tiny's tokenizer.json with another pre-tokenizer. */
async function tokenizerWith(name: string): Promise<object> {
  const json = JSON.parse(await readFile(join(moby, "tokenizer.json"), "utf8"));
  const { steps, ignoresMerges } = PRE_TOKENIZERS.find((known) => known.name === name) ?? PRE_TOKENIZERS[0];
  const pretokenizers = steps.map((step) =>
    step === null
      ? { type: "ByteLevel", add_prefix_space: false, use_regex: true }
      : { type: "Split", pattern: { Regex: step }, behavior: "Isolated", invert: false },
  );
  if (!steps.includes(null)) pretokenizers.push({ type: "ByteLevel", add_prefix_space: false, use_regex: false });
  const model = { ...json.model, ignore_merges: ignoresMerges };
  return { ...json, model, pre_tokenizer: { type: "Sequence", pretokenizers } };
}
