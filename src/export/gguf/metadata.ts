import type { Architecture } from "../../gguf/architectures.ts";
import { float32, list, type Metadata, type MetadataValue, text, uint32 } from "../../gguf/metadata.ts";
import type { TensorType } from "../../gguf/tensor-types.ts";
import type { LlamaConfig } from "../../models/llama.ts";
import { hasValue } from "./check-config.ts";
import { ropeMetadata } from "./rope.ts";

/** What `general.file_type` says of a file most of whose weights are of a type. */
const FILE_TYPES: Readonly<Record<TensorType, number>> = {
  F32: 0,
  F16: 1,
  Q4_0: 2,
  Q4_1: 3,
  Q8_0: 7,
  Q4_K: 15,
  Q6_K: 18,
  BF16: 32,
};

/** What a file says of its model, tokenizer aside. @throws ConfigError for angles that llama.cpp has no keys for */
export function modelMetadata(
  architecture: Architecture,
  config: LlamaConfig,
  { name, fileType }: { readonly name: string; readonly fileType: TensorType },
): Metadata {
  const own = (entries: Readonly<Record<string, MetadataValue>>) =>
    Object.entries(entries).map(([key, value]) => [`${architecture.name}.${key}`, value] as const);
  return new Map<string, MetadataValue>([
    ["general.architecture", text(architecture.name)],
    ["general.type", text("model")],
    ["general.name", text(name)],
    ["general.file_type", uint32(FILE_TYPES[fileType])],
    ["general.quantization_version", uint32(2)],
    ...own({
      block_count: uint32(config.num_hidden_layers),
      context_length: uint32(config.max_position_embeddings),
      embedding_length: uint32(config.hidden_size),
      feed_forward_length: uint32(config.intermediate_size),
      vocab_size: uint32(config.vocab_size),
      "attention.head_count": uint32(config.num_attention_heads),
      "attention.head_count_kv": uint32(config.num_key_value_heads),
      "attention.key_length": uint32(config.head_dim),
      "attention.value_length": uint32(config.head_dim),
      ...(config.rms_norm_eps && { "attention.layer_norm_rms_epsilon": float32(config.rms_norm_eps) }),
      ...ownKeys(architecture, config),
      ...slidingLayers(architecture, config),
      ...ropeMetadata(architecture, config),
    }),
  ]);
}

/** Values that only this architecture has; those that config.json has none of are left out. */
function ownKeys({ keys = [] }: Architecture, config: LlamaConfig): Record<string, MetadataValue> {
  const values = config as Readonly<Record<string, unknown>>;
  const given = keys.filter((key) => hasValue(config, key));
  return Object.fromEntries(
    given.map(({ key, field, type }) => [key, { type, value: values[field] as number | boolean }]),
  );
}

/** Of each layer, whether it sees a sliding window, where layers differ in that. */
function slidingLayers({ sliding }: Architecture, config: LlamaConfig): Record<string, MetadataValue> {
  if (!sliding) return {};
  const { layer_types, sliding_window_pattern: period = sliding.period } = config as LlamaConfig & {
    readonly layer_types?: readonly string[] | null;
    readonly sliding_window_pattern?: number;
  };
  const slides = Array.from({ length: config.num_hidden_layers }, (_, index) =>
    layer_types ? layer_types[index] === "sliding_attention" : (index + 1) % period !== 0,
  );
  return { "attention.sliding_window_pattern": list("bool", slides) };
}
