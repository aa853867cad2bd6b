import { float32, list, type MetadataValue, text, uint32 } from "../src/gguf/metadata.ts";
import type { Damage } from "./damage.ts";
import { editGguf, testGgufDamages } from "./damaged-gguf.ts";

const key = (rest: string) => `tokenizer.ggml.${rest}`;

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

const DAMAGES: Readonly<Record<string, Damage>> = {
  "a token that was edited": {
    damage: changeTexts(key("tokens"), (tokens) => tokens.with(1000, "another")),
    where: "checkpoint-Q4_0.gguf",
    message: "other keys or tensors than were written",
    checksums: true,
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

testGgufDamages(DAMAGES);
