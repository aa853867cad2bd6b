import { cp, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { exportModel } from "../src/export/export-model.ts";
import { CARRIER_ARGS, STAND_INS } from "../src/export/gguf/carrier.ts";
import { inspectCheckpoint } from "../src/formats/inspect.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { oneshot } from "../src/oneshot.ts";
import type { ProgressEvent } from "../src/sequential/events.ts";
import { verify } from "../src/verify/verify.ts";
import { ggufIn } from "./damaged-gguf.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { TINY_MODEL } from "./tiny-model.ts";

/** A tokenizer of single characters, which GGUF can hold. */
const TOKENIZER = {
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
  post_processor: null,
  decoder: { type: "ByteLevel" },
  model: {
    type: "BPE",
    vocab: Object.fromEntries(Array.from({ length: 94 }, (_, id) => [String.fromCharCode(33 + id), id])),
    merges: [],
  },
  added_tokens: [],
};

/** A model of which only the projections down have rows of 256 columns, rounded to nearest. */
async function quantize(dtype: "Q4_K" | "Q6_K"): Promise<string> {
  const folder = await temporaryFolder();
  const [model, output] = [join(folder, "model"), join(folder, "quantized")];
  await cp(TINY_MODEL, model, { recursive: true });
  await writeFile(join(model, "tokenizer.json"), JSON.stringify(TOKENIZER));
  await writeFile(join(model, "tokenizer_config.json"), "{}");
  const weights = { ...CARRIER_ARGS[STAND_INS[dtype]], numBits: dtype === "Q4_K" ? 4 : 6 };
  const configGroups = { group_0: { targets: ["Linear"], weights } };
  const recipe = new QuantizationModifier({ configGroups, ignore: ["lm_head"] });
  await oneshot({ model, recipe, output, threads: 1 });
  return output;
}

test.each([
  ["Q4_K", "Q4_1"],
  ["Q6_K", "Q8_0"],
] as const)(
  "rows that %s has no whole blocks for are carried by %s, and what the others lose is told",
  async (dtype, standIn) => {
    const model = await quantize(dtype);
    const output = join(await temporaryFolder(), "gguf");
    const warnings: string[] = [];
    const onProgress = (event: ProgressEvent) => event.type === "warning" && warnings.push(event.message);
    await exportModel({ model, format: ["gguf"], dtype: [dtype], output, onProgress });
    expect(warnings).toContain(
      `12 weights, blk.0.attn_q.weight the first, have columns that do not divide by 256, and are written as ${standIn} instead of ${dtype}.`,
    );
    expect(warnings.at(-1)).toMatch(
      /^quantized-Q\d_[10K]: calibrated scales of 2 weights are stored in fewer bits, and their weights changed by an error \d\d\.\d dB below model\.layers\.\d\.mlp\.down_proj, where it is the largest\./,
    );
    const { storage } = await inspectCheckpoint(await ggufIn(output));
    const counts = Object.fromEntries(storage.map(({ weights, modules }) => [weights, modules]));
    expect(counts).toMatchObject({ [dtype]: 2, [standIn]: 12 });
    expect((await verify({ model: output, source: model, threads: 1 })).problems).toEqual([]);
  },
);
