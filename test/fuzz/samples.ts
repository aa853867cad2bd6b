import { readFileSync } from "node:fs";
import { planFiles } from "../../src/checkpoint/layout.ts";
import { modelMetadata } from "../../src/export/gguf/metadata.ts";
import { ARCHITECTURES } from "../../src/gguf/architectures.ts";
import { planGguf } from "../../src/gguf/layout.ts";
import { list, type MetadataValue, text } from "../../src/gguf/metadata.ts";
import { ggufName } from "../../src/gguf/tensor-names.ts";
import type { LlamaConfig } from "../../src/models/llama.ts";
import { createModel } from "../../src/models/registry.ts";
import { Buffer as ModelBuffer } from "../../src/nn/parameter.ts";

/** config.json of the smallest model that still has every part. */
export const config = {
  model_type: "llama",
  vocab_size: 32,
  hidden_size: 16,
  intermediate_size: 16,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  rms_norm_eps: 1e-6,
  rope_parameters: { rope_type: "yarn", rope_theta: 10000, factor: 2, original_max_position_embeddings: 64 },
  tie_word_embeddings: false,
  bos_token_id: 0,
};

/** config.json of that model once it is compressed. */
export const compressedConfig = {
  ...config,
  quantization_config: {
    quant_method: "compressed-tensors",
    format: "pack-quantized",
    ignore: ["lm_head"],
    config_groups: {
      group_0: {
        targets: ["Linear", "re:.*down_proj"],
        format: "pack-quantized",
        weights: { num_bits: 4, type: "int", symmetric: true, strategy: "group", group_size: 8 },
      },
    },
  },
};

/** A recipe with all that the format has: stages, variables, an anchor, a merge, a list. */
export const recipe = `
args: {bits: 4, kept: [lm_head]}
defaults: &defaults {type: int, symmetric: true}
quantize_stage:
  quantize_modifiers:
    GPTQModifier:
      ignore: $kept
      block_size: 8
      config_groups:
        group_0:
          targets: [Linear]
          weights: {<<: *defaults, num_bits: $bits, strategy: group, group_size: 8}
`;

/** Recipes that a fuzzed checkpoint is compressed with, one without calibration data and one with. */
export const recipes = [
  "QuantizationModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, symmetric: false, strategy: channel}}}}",
  "GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: group, group_size: 8}}}}",
];

/** Names and shapes of the model's tensors. */
export const tensors = createModel(config)
  .namedParameters()
  .filter(([, parameter]) => !(parameter instanceof ModelBuffer))
  .map(([name, { shape }]) => ({ name, dtype: "F32" as const, shape }));

const [layout] = planFiles(tensors);

/** Bytes before the values of model.safetensors. */
export const header: Uint8Array = layout.header;

/** Values of all tensors, in the order of the file: small and different. */
export const values: Float32Array = Float32Array.from(
  { length: (layout.size - header.length) / 4 },
  (_, i) => Math.sin(i * 12.9898) / 4,
);

/** A safetensors file of a header and values. */
export function safetensors(head: Uint8Array, data: Float32Array): Uint8Array {
  return Buffer.concat([head, new Uint8Array(data.buffer, data.byteOffset, data.byteLength)]);
}

/** A header's bytes: the length and the JSON. */
export function encodeHeader(json: Uint8Array, length: bigint = BigInt(json.length)): Uint8Array {
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(length & 0xffffffffffffffffn);
  return Buffer.concat([prefix, json]);
}

/** The header of the model's file as a value. */
export const headerValue = JSON.parse(new TextDecoder().decode(header.subarray(8))) as object;

interface TokenizerJson {
  readonly model: { readonly vocab: Readonly<Record<string, number>>; readonly merges: readonly string[][] };
}

/** tokenizer.json of the example model, with single characters and a few merges left. */
export const tokenizer: object = shrunkTokenizer();

function shrunkTokenizer(): object {
  const file = new URL("../../examples/moby-tiny/tokenizer.json", import.meta.url);
  const whole = JSON.parse(readFileSync(file, "utf8")) as TokenizerJson;
  const merges = whole.model.merges.slice(0, 4);
  const words = [..."ehlowrdĠ", "<|endoftext|>", ...merges.map((pair) => pair.join(""))];
  const vocab = Object.fromEntries(words.map((word, id) => [word, id]));
  return {
    ...whole,
    normalizer: { type: "Sequence", normalizers: [{ type: "Replace", pattern: { Regex: "l+" }, content: "l" }] },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Digits", individual_digits: true },
        { type: "ByteLevel", add_prefix_space: false, use_regex: true },
      ],
    },
    model: { ...whole.model, vocab, merges },
  };
}

/** A chat template as models have them. */
export const chatTemplate = `{% set ns = namespace(first=true) %}
{% for message in messages %}
{% if message['role'] not in ['user', 'assistant'] %}{{ raise_exception('role ' ~ message.role) }}{% endif %}
{{ '<|' + message.role + '|>' + ((message.content or '') | trim) + eos_token }}
{% for i in range(loop.index, 3) %}{{ i }}{% endfor %}
{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}`;

/** tokenizer_config.json. */
export const tokenizerConfig: object = {
  bos_token: "<|endoftext|>",
  eos_token: { content: "<|endoftext|>" },
  pad_token: null,
  model_max_length: 1e30,
  padding_side: "left",
  chat_template: [{ name: "default", template: chatTemplate }],
  tokenizer_class: "PreTrainedTokenizerFast",
};

/** Rows of a data set of every kind. */
export const rows: readonly Record<string, unknown>[] = [
  { text: "hello world" },
  {
    messages: [
      { role: "user", content: "hello" },
      { role: "assistant", content: null },
    ],
  },
  { input_ids: [1, 2, 3], attention_mask: [0, 1, 1] },
];

/** Files of the same data, by extension. */
export const dataFiles: Readonly<Record<string, Uint8Array>> = {
  ".jsonl": Buffer.from(rows.map((row) => JSON.stringify(row)).join("\r\n")),
  ".json": Buffer.from(JSON.stringify(rows)),
  ".txt": Buffer.from("hello world\n\nhello\r\n"),
  ".csv": Buffer.from('id,text\n1,"hello ""world"", again"\n2,hello\n'),
  ".parquet": readFileSync(new URL("../fixtures/data/rows-snappy.parquet", import.meta.url)),
};

/** The model of {@link config} as a GGUF file. */
export const gguf: Uint8Array = ggufFile();

function ggufFile(): Uint8Array {
  const architecture = ARCHITECTURES[0];
  const planned = tensors.map(({ name, shape }) => {
    const stored = ggufName(architecture, name) as string;
    return {
      name: stored,
      type: shape.length === 2 && shape[1] % 32 === 0 ? ("Q4_0" as const) : ("F32" as const),
      shape,
    };
  });
  const tokens = Array.from({ length: config.vocab_size }, (_, id) => String.fromCharCode(65 + id));
  const metadata = new Map<string, MetadataValue>([
    ...modelMetadata(architecture, createModel(config).config as LlamaConfig, { name: "m", fileType: "F32" }),
    ["tokenizer.ggml.model", text("gpt2")],
    ["tokenizer.ggml.pre", text("gpt-2")],
    ["tokenizer.ggml.tokens", list("string", tokens)],
    ["tokenizer.ggml.token_type", list("int32", Array(tokens.length).fill(1))],
  ]);
  const [{ header, size }] = planGguf("m", metadata, planned);
  const bytes = new Uint8Array(size);
  bytes.set(header);
  return bytes;
}
