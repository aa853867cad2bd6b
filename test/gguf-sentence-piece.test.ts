import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { loadTokenizer } from "../src/data/tokenizer.ts";
import { exportModel } from "../src/export/export-model.ts";
import { exportGguf } from "./gguf-model.ts";
import { openGguf, tokenize } from "./llama-cpp.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { VARIED_STRINGS } from "./varied-strings.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const SPECIAL = {
  llama: { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" },
  gemma: { bos_token: "<bos>", eos_token: "<eos>", unk_token: "<unk>", pad_token: "<pad>" },
};
type Kind = keyof typeof SPECIAL;
type Parts = Record<string, unknown> & { model: Record<string, unknown> & { merges: string[] } };

/** The example model with another tokenizer. */
async function checkpointWith(kind: Kind, change: (json: Parts) => object = (json) => json): Promise<string> {
  const folder = await temporaryFolder();
  await cp(here("../examples/moby-tiny"), folder, { recursive: true });
  const json = JSON.parse(await readFile(here(`fixtures/gguf/sentence-piece-${kind}.json`), "utf8")) as Parts;
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(change(json)));
  await writeFile(join(folder, "tokenizer_config.json"), JSON.stringify(SPECIAL[kind]));
  return folder;
}

/** Texts with tokens that are looked for before anything is merged. */
const MORE_STRINGS = ["a<table>b", "x\n\n\ny\n \n  z", "\t\t\tif (a)   b\n", "</s>a <unk> b", "<eos>", "<0x41> x"];

describe.each(["llama", "gemma"] as const)("a tokenizer like %s's", (kind) => {
  test("is followed by llama.cpp on 200 varied strings", async () => {
    const folder = await checkpointWith(kind);
    const [tokenizer, model] = [await loadTokenizer(folder), await openGguf(await exportGguf(folder))];
    for (const text of [...VARIED_STRINGS, ...MORE_STRINGS])
      expect(tokenize(model, text), JSON.stringify(text)).toEqual(tokenizer.encode(text, { addSpecialTokens: false }));
  });

  test("comes back from a file", async () => {
    const folder = await checkpointWith(kind);
    const checkpoint = await openCheckpoint(await exportGguf(folder));
    const [found, original] = [await loadTokenizer(checkpoint.folder), await loadTokenizer(folder)];
    for (const text of [...VARIED_STRINGS, ...MORE_STRINGS])
      expect(found.encode(text, { addSpecialTokens: true }), JSON.stringify(text)).toEqual(
        original.encode(text, { addSpecialTokens: true }),
      );
    expect(found.eosTokenId).toBe(original.eosTokenId);
    await checkpoint.close();
  });
});

test("a tokenizer that is sparing with spaces is followed with a warning", async () => {
  const pre_tokenizer = { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false };
  const folder = await checkpointWith("llama", (json) => ({ ...json, normalizer: null, pre_tokenizer }));
  const warnings: string[] = [];
  await exportModel({
    model: folder,
    format: ["gguf"],
    output: join(await temporaryFolder(), "gguf"),
    onProgress: (event) => event.type === "warning" && warnings.push(event.message),
  });
  expect(warnings).toEqual([
    `${join(folder, "tokenizer.json")}: puts a space before a text that begins with none; llama.cpp does so before any text, and after special tokens.`,
  ]);
});

test.each([
  [
    "merges that lack one",
    (json) => ({ ...json, model: { ...json.model, merges: json.model.merges.slice(1) } }),
    "merges that no scores",
  ],
  [
    "a normalizer of another kind",
    (json) => ({ ...json, normalizer: { type: "Lowercase" } }),
    'normalizer {"type":"Lowercase"}',
  ],
  [
    "a tokenizer of another kind",
    (json) => ({
      ...json,
      model: {
        type: "Unigram",
        unk_id: 0,
        vocab: [
          ["<unk>", 0],
          ["▁a", -1],
        ],
      },
    }),
    "model.type",
  ],
] as [string, (json: Parts) => object, string][])("%s is refused", async (_, change, message) => {
  const folder = await checkpointWith("llama", change);
  await expect(exportGguf(folder)).rejects.toThrow(message);
});
