import { cp, mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { VerificationError } from "../src/errors.ts";
import { exportModel } from "../src/export/export-model.ts";
import { modifierFor } from "../src/export/modifier-for.ts";
import { float32, list, type MetadataValue, text, uint32 } from "../src/gguf/metadata.ts";
import { halvesOrder, reorderRows } from "../src/gguf/rotary-rows.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { oneshot } from "../src/oneshot.ts";
import { writeTensorFile } from "../src/output/tensor-file.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { verify } from "../src/verify/verify.ts";
import { type Damage, testDamages } from "./damage.ts";
import { editEntries, editGguf, forgetDigests, type GgufContent, ggufIn, tensorIn } from "./damaged-gguf.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const LLAMA = fileURLToPath(new URL("../examples/moby-tiny", import.meta.url));
const CALIBRATION = fileURLToPath(new URL("../examples/calibration.jsonl", import.meta.url));

let root: string;
const [checkpoint, exported] = ["checkpoint", "exported"].map((name) => () => join(root, name));

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "layerwise-"));
  await quantize("Q4_0", checkpoint());
  await exportModel({ model: checkpoint(), format: ["gguf"], output: exported() });
}, 120_000);

afterAll(() => rm(root, { recursive: true, force: true }));

/** moby-tiny, rounded to nearest with a scheme for a type of GGUF; those of K types look at what is calibrated. */
async function quantize(dtype: string, output: string): Promise<void> {
  const weights = modifierFor("gguf", dtype).options.configGroups?.group_0.weights;
  const configGroups = { group_0: { targets: ["Linear"], weights } };
  await oneshot({
    model: LLAMA,
    recipe: new QuantizationModifier({ configGroups, ignore: ["lm_head"] }),
    dataset: CALIBRATION,
    numCalibrationSamples: 4,
    maxSeqLength: 64,
    output,
    threads: 1,
  });
}

const [Q, DOWN, UP] = ["model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj", "model.layers.1.mlp.up_proj"];
const key = (rest: string) => `tokenizer.ggml.${rest}`;

/** Changes one tensor of the file. */
const change =
  (name: string, act: (tensor: ReturnType<typeof tensorIn>) => void) =>
  (folder: string): Promise<void> =>
    editGguf(folder, (content) => act(tensorIn(content, name)));

/** Changes the keys of the file. */
const changeKeys =
  (act: (metadata: Map<string, MetadataValue>) => void) =>
  (folder: string): Promise<void> =>
    editGguf(folder, ({ metadata }) => act(metadata));

const setKey = (name: string, value: MetadataValue) => changeKeys((metadata) => metadata.set(name, value));
const deleteKey = (name: string) => changeKeys((metadata) => metadata.delete(name));

/** Changes a list of texts. */
const changeTexts = (name: string, act: (texts: string[]) => string[]) =>
  changeKeys((metadata) => {
    const before = metadata.get(name);
    if (before?.type === "array") metadata.set(name, list("string", act(before.values.map(String))));
  });

/** Puts the values of a tensor there as they are, all ones. */
function leaveDense(content: GgufContent, name: string): void {
  const tensor = tensorIn(content, name);
  const count = tensor.shape.reduce((product, size) => product * size);
  tensor.type = "F16";
  tensor.bytes = new Uint8Array(new Uint16Array(count).fill(0x2000).buffer);
}

function swap(content: GgufContent, a: string, b: string): void {
  const [first, second] = [tensorIn(content, a), tensorIn(content, b)];
  [first.bytes, second.bytes] = [second.bytes, first.bytes];
}

/** Puts rows of queries or keys in the order that config.json's models have, as if they had not been interleaved. */
function undoInterleaving(content: GgufContent, name: string, heads: number): void {
  const tensor = tensorIn(content, name);
  const [rows] = tensor.shape;
  tensor.bytes = reorderRows(tensor.bytes, tensor.bytes.length / rows, halvesOrder(rows, heads));
}

const OFF = /its weight is -?\d+\.\d dB above its error, expected/;

const DAMAGES: Readonly<Record<string, Damage>> = {
  "a flipped bit in codes": {
    damage: change("blk.0.attn_q.weight", ({ bytes }) => {
      bytes[100] ^= 1;
    }),
    where: Q,
    message: "blk.0.attn_q.weight has other bytes than were written",
    checksums: true,
  },
  "a token that was edited": {
    damage: changeTexts(key("tokens"), (tokens) => tokens.with(1000, "another")),
    where: "checkpoint-Q4_0.gguf",
    message: "other keys or tensors than were written",
    checksums: true,
  },
  "a file that was cut": {
    damage: async (folder) => truncate(await ggufIn(folder), 1_500_000),
    where: /\.gguf$/,
    message: /tensor "blk\.\d\.\w+\.weight" at bytes \d+ to \d+, expected a place of its own between \d+ and 1500000/,
  },
  "a header that was cut": {
    damage: async (folder) => truncate(await ggufIn(folder), 1000),
    where: /\.gguf$/,
    message: /The file is broken; get it again/,
  },
  "a file of another kind": {
    damage: async (folder) => writeFile(await ggufIn(folder), "GGML and more of it"),
    where: /\.gguf$/,
    message: "a file of another kind, expected one that begins with GGUF",
  },
  "an offset inside of another tensor": {
    damage: (folder) =>
      editEntries(folder, (entry) =>
        entry.name === "blk.1.ffn_down.weight" ? { ...entry, offset: entry.offset - 64 } : entry,
      ),
    where: /\.gguf$/,
    message: /tensor "blk.1.ffn_down.weight" at bytes \d+ to \d+, expected a place of its own/,
  },
  "an offset that is not aligned": {
    damage: (folder) =>
      editEntries(folder, (entry) =>
        entry.name === "blk.1.ffn_down.weight" ? { ...entry, offset: entry.offset + 8 } : entry,
      ),
    where: /\.gguf$/,
    message: /tensor "blk.1.ffn_down.weight" at bytes \d+ to \d+, expected .* aligned to 32/,
  },
  "codes that are said to be of a larger type": {
    damage: (folder) =>
      editEntries(folder, (entry) => (entry.name === "blk.1.ffn_down.weight" ? { ...entry, type: "Q8_0" } : entry)),
    where: /\.gguf$/,
    message: /tensor "blk.\d.\w+.weight" at bytes/,
  },
  "values that are said to be of another type": {
    damage: change("token_embd.weight", (tensor) => {
      tensor.type = "BF16";
    }),
    where: "model.embed_tokens",
    message: OFF,
    source: true,
  },
  "a scale that is NaN": {
    damage: change("blk.0.attn_v.weight", ({ bytes }) => {
      bytes.set([0x00, 0x7e], (2 * 8 + 1) * 18); // row 2, its second block
    }),
    where: "model.layers.0.self_attn.v_proj",
    message: "NaN or infinite at row 2, column 32",
  },
  "a scale of queries that is infinite": {
    damage: change("blk.0.attn_q.weight", ({ bytes }) => {
      bytes.set([0x00, 0x7c], 8 * 18); // row 1 of the file: the first of the second half of a head
    }),
    where: Q,
    message: "NaN or infinite at row 16, column 0",
  },
  "infinity in an embedding": {
    damage: change("token_embd.weight", ({ bytes }) => {
      bytes.set([0x00, 0x7c], 2 * (3 * 256 + 7));
    }),
    where: "model.embed_tokens",
    message: "NaN or infinite at row 3, column 7",
  },
  "a weight of zeros": {
    damage: change("blk.1.ffn_down.weight", ({ bytes }) => {
      for (let at = 0; at < bytes.length; at++) if (at % 18 > 1) bytes[at] = 0x88;
    }),
    where: DOWN,
    message: "every weight decodes to zero",
  },
  "a tensor that is missing": {
    damage: (folder) =>
      editGguf(folder, (content) => {
        content.tensors = content.tensors.filter(({ name }) => name !== "blk.1.ffn_down.weight");
      }),
    where: DOWN,
    message: "no tensor blk.1.ffn_down.weight, expected one of shape [256, 768]",
  },
  "a tensor that nothing reads": {
    damage: (folder) =>
      editGguf(folder, ({ tensors }) => {
        tensors.push({ name: "blk.2.attn_k.bias", type: "F32", shape: [128], bytes: new Uint8Array(512) });
      }),
    where: "model.layers.2.self_attn.k_proj",
    message: "a tensor blk.2.attn_k.bias, expected none: the model has no such part",
  },
  "a tensor of a name that nobody knows": {
    damage: (folder) =>
      editGguf(folder, ({ tensors }) => {
        tensors.push({ name: "blk.2.attn_x.weight", type: "F32", shape: [8], bytes: new Uint8Array(32) });
      }),
    where: /\.gguf$/,
    message: 'tensor "blk.2.attn_x.weight", expected those of llama',
  },
  "rows for columns": {
    damage: change("blk.1.ffn_down.weight", (tensor) => {
      tensor.shape = [768, 256];
    }),
    where: DOWN,
    message: "blk.1.ffn_down.weight of shape [768, 256], expected [256, 768], as keys say",
  },
  "a weight that was left dense": {
    damage: (folder) => editGguf(folder, (content) => leaveDense(content, "blk.1.ffn_up.weight")),
    where: UP,
    message: "F16: it is not quantized, expected Q4_0 as of its peers",
  },
  "a weight that was left dense in all layers": {
    damage: (folder) =>
      editGguf(folder, (content) => {
        for (const layer of [0, 1, 2, 3]) leaveDense(content, `blk.${layer}.ffn_up.weight`);
      }),
    where: UP,
    message: "F16: it is not quantized, expected codes and scales, as the checkpoint has them",
    source: true,
  },
  "a norm in half precision": {
    damage: change("blk.1.ffn_norm.weight", (tensor) => {
      tensor.type = "F16";
      tensor.bytes = new Uint8Array(512);
    }),
    where: "model.layers.1.post_attention_layernorm",
    message: "blk.1.ffn_norm.weight of type F16, expected F32, as llama.cpp computes with vectors",
  },
  "layers in another order": {
    damage: (folder) => editGguf(folder, (content) => swap(content, "blk.1.ffn_down.weight", "blk.2.ffn_down.weight")),
    where: DOWN,
    message: OFF,
    source: true,
  },
  "a norm of another layer": {
    damage: (folder) =>
      editGguf(folder, (content) => swap(content, "blk.0.attn_norm.weight", "blk.3.attn_norm.weight")),
    where: "model.layers.0.input_layernorm",
    message: OFF,
    source: true,
  },
  "rows of queries that are not interleaved": {
    damage: (folder) => editGguf(folder, (content) => undoInterleaving(content, "blk.0.attn_q.weight", 8)),
    where: Q,
    message: OFF,
    source: true,
  },
  "rows of keys that are interleaved in no layer": {
    damage: (folder) =>
      editGguf(folder, (content) => {
        for (const layer of [0, 1, 2, 3]) undoInterleaving(content, `blk.${layer}.attn_k.weight`, 4);
      }),
    where: "model.layers.2.self_attn.k_proj",
    message: OFF,
    source: true,
  },
  "scales of other rows": {
    damage: change("blk.1.ffn_down.weight", ({ bytes }) => {
      for (let at = 0; at < bytes.length; at += 18) bytes.set([0x00, 0x30 + (at % 7)], at);
    }),
    where: DOWN,
    message: OFF,
    source: true,
  },
  "no architecture": {
    damage: deleteKey("general.architecture"),
    where: /\.gguf$/,
    message: "general.architecture undefined, expected one of llama",
  },
  "no number of layers": {
    damage: deleteKey("llama.block_count"),
    where: /\.gguf$/,
    message: "no number llama.block_count, expected one",
  },
  "another number of heads of keys": {
    damage: setKey("llama.attention.head_count_kv", uint32(8)),
    where: "model.layers.3.self_attn.k_proj",
    message: "blk.3.attn_k.weight of shape [128, 256], expected [256, 256], as keys say",
  },
  "another base of angles": {
    damage: setKey("llama.rope.freq_base", float32(500_000)),
    where: "rope_parameters",
    message: /a frequency of 0\.4\d+ at 1 by the file's keys, expected a frequency of 0\.5\d+, as the source has/,
    source: true,
  },
  "norms of another epsilon": {
    damage: setKey("llama.attention.layer_norm_rms_epsilon", float32(1e-6)),
    where: "rms_norm_eps",
    message: "0.000001 by the file's keys, expected 0.00001, as the source has",
    source: true,
  },
  "no kind of tokenizer": { damage: deleteKey(key("model")), where: key("model"), message: "not there" },
  "no name of a pre-tokenizer": { damage: deleteKey(key("pre")), where: key("pre"), message: "not there" },
  "no merges": { damage: deleteKey(key("merges")), where: key("merges"), message: "not there" },
  "no types of tokens": { damage: deleteKey(key("token_type")), where: key("token_type"), message: "0 of them" },
  "a token too few": {
    damage: changeTexts(key("tokens"), (tokens) => tokens.slice(0, -1)),
    where: key("tokens"),
    message: "2047 of them, expected one for each of the 2048 rows",
  },
  "a merge that makes no token": {
    damage: changeTexts(key("merges"), (merges) => merges.with(9, "q qq")),
    where: key("merges"),
    message: '"q qq" makes no token',
  },
  "an end token that there is not": {
    damage: setKey(key("eos_token_id"), uint32(99_999)),
    where: key("eos_token_id"),
    message: "99999, expected a token, fewer than 2048",
  },
  "another end token": {
    damage: setKey(key("eos_token_id"), uint32(17)),
    where: key("eos_token_id"),
    message: "17, expected 0, as the source has",
    source: true,
  },
  "the name of another pre-tokenizer": {
    damage: setKey(key("pre"), text("qwen2")),
    where: key("tokens"),
    message: /as the source's tokenizer has/,
    source: true,
  },
  "tokens in another order": {
    damage: changeTexts(key("tokens"), (tokens) => [tokens[0], ...tokens.slice(1).reverse()]),
    where: key("tokens"),
    message: /as the source's tokenizer has/,
    source: true,
  },
  "a chat template that the source does not have": {
    damage: setKey("tokenizer.chat_template", text("{{ messages }}")),
    where: "tokenizer.chat_template",
    message: "another one, expected the source's",
    source: true,
  },
};

testDamages(DAMAGES, () => ({ folder: exported(), source: checkpoint() }), forgetDigests);

test.each(["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])(
  "%s: nothing is wrong with what was not damaged",
  async (dtype) => {
    const output = join(await temporaryFolder(), "gguf");
    await exportModel({ model: LLAMA, format: ["gguf"], dtype: [dtype], output });
    const {
      problems,
      notes,
      comparisons: [comparison],
    } = await verify({ model: output, source: LLAMA, threads: 1 });
    expect([problems, notes]).toEqual([[], []]);
    expect(comparison.subgraphs).toHaveLength(5);
    expect(comparison.logits.klDivergence).toBeLessThan(dtype.startsWith("Q4") ? 0.3 : 0.01);
  },
  60_000,
);

test("a file has the weights of the checkpoint that it was exported from, and is near the one that this was made of", async () => {
  const {
    problems,
    tensors,
    compressed,
    comparisons: [comparison],
  } = await verify({
    model: await ggufIn(exported()),
    source: checkpoint(),
    threads: 1,
  });
  expect(problems).toEqual([]);
  expect([tensors > compressed, compressed]).toEqual([true, 28]);
  expect(comparison.logits.top1Agreement).toBeGreaterThan(0.99);
  const original = await verify({ model: exported(), source: LLAMA, threads: 1 });
  expect(original.problems).toEqual([]);
  expect(original.comparisons[0].weights.find(({ module }) => module === Q)).toMatchObject({ weights: "Q4_0" });
});

test.each(["Q4_K", "Q6_K"])(
  "a %s file is near the checkpoint that it was exported from",
  async (dtype) => {
    const folder = await temporaryFolder();
    const [model, output] = [join(folder, "quantized"), join(folder, "gguf")];
    await quantize(dtype, model);
    await exportModel({ model, format: ["gguf"], dtype: [dtype], output });
    const {
      problems,
      comparisons: [comparison],
    } = await verify({ model: output, source: model, threads: 1 });
    expect(problems).toEqual([]);
    expect(comparison.weights.filter(({ weights }) => weights === dtype)).toHaveLength(28);
  },
  60_000,
);

test("a model that is split over several files is verified whole, and a file that is not there is named", async () => {
  const output = join(await temporaryFolder(), "gguf");
  await exportModel({ model: checkpoint(), format: ["gguf"], output, maxShardSize: 1e6 });
  expect((await readdir(output)).length).toBeGreaterThan(2);
  expect((await verify({ model: output, source: checkpoint(), threads: 1 })).problems).toEqual([]);
  await rm(await ggufIn(output, 1));
  const { problems } = await verify({ model: output });
  expect(problems.map(({ message }) => message).join()).toMatch(/00002-of-\d+\.gguf: cannot be opened/);
});

test("of several models in a folder one must be named", async () => {
  const output = join(await temporaryFolder(), "gguf");
  await exportModel({ model: LLAMA, format: ["gguf"], dtype: ["F16", "Q8_0"], output });
  await expect(verify({ model: output })).rejects.toThrow("2 GGUF files, expected one. Name the file.");
});

test("an export of a weight that is not finite ends in an error, unless it is not to be verified", async () => {
  const folder = await temporaryFolder();
  const [model, output] = [join(folder, "broken"), join(folder, "gguf")];
  await cp(LLAMA, model, { recursive: true });
  const tensors = new Map(readSafetensors(join(LLAMA, "model.safetensors")));
  const { dtype, shape, data } = tensors.get("model.layers.0.mlp.up_proj.weight") as Tensor<"BF16">;
  tensors.set("model.layers.0.mlp.up_proj.weight", new Tensor(dtype, shape, data.with(5, 0x7fc0)));
  await writeTensorFile(join(model, "model.safetensors"), tensors);
  const options = { model, format: ["gguf"], output };
  const failure = await exportModel(options).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(VerificationError);
  expect(String(failure)).toContain("model.layers.0.mlp.up_proj: NaN or infinite at row 0, column 5");
  await exportModel({ ...options, verify: false, overwrite: true });
  expect((await verify({ model: output })).problems).toHaveLength(1);
});
