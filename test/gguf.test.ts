import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { tokenizerFiles } from "../src/data/tokenizer.ts";
import { modifierFor } from "../src/export/modifier-for.ts";
import { PRE_TOKENIZERS } from "../src/gguf/pre-tokenizers.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { oneshot } from "../src/oneshot.ts";
import { agreement, exportGguf } from "./gguf-model.ts";
import { openGguf, tokenize } from "./llama-cpp.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { VARIED_STRINGS } from "./varied-strings.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const moby = here("../examples/moby-tiny");

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

describe("llama.cpp cuts 200 varied strings into the tokens of tokenizer.json", { timeout: 300_000 }, () => {
  test.each([
    ...PRE_TOKENIZERS.map(({ name }) => [name, "as it is", {}] as const),
    ["gpt-2", "said to fall back to bytes", { byte_fallback: true }] as const,
  ])("with the pre-tokenizer %s, %s", async (name, _, settings) => {
    const folder = await temporaryFolder();
    await cp(moby, folder, { recursive: true });
    await writeFile(join(folder, "tokenizer.json"), JSON.stringify(await tokenizerWith(name, settings)));
    const { tokenizer } = await tokenizerFiles(folder);
    const model = await openGguf(await exportGguf(folder));
    expect(VARIED_STRINGS.map((text) => tokenize(model, text))).toEqual(
      VARIED_STRINGS.map((text) => tokenizer.encode(text, { addSpecialTokens: false })),
    );
  });
});

/** moby-tiny's tokenizer.json with another pre-tokenizer, and other settings of its model. */
async function tokenizerWith(name: string, settings: object): Promise<object> {
  const json = JSON.parse(await readFile(join(moby, "tokenizer.json"), "utf8"));
  const { steps, ignoresMerges } = PRE_TOKENIZERS.find((known) => known.name === name) ?? PRE_TOKENIZERS[0];
  const pretokenizers = steps.map((step) =>
    step === null
      ? { type: "ByteLevel", add_prefix_space: false, use_regex: true }
      : { type: "Split", pattern: { Regex: step }, behavior: "Isolated", invert: false },
  );
  if (!steps.includes(null)) pretokenizers.push({ type: "ByteLevel", add_prefix_space: false, use_regex: false });
  const model = { ...json.model, ...settings, ignore_merges: ignoresMerges };
  return { ...json, model, pre_tokenizer: { type: "Sequence", pretokenizers } };
}
