import { ConfigError } from "../../errors.ts";
import type { Architecture } from "../../gguf/architectures.ts";
import { float32, type Metadata, type MetadataValue, text, uint32 } from "../../gguf/metadata.ts";
import type { TensorType } from "../../gguf/tensor-types.ts";
import type { LlamaConfig } from "../../models/llama.ts";
import { plainFrequencies, ropeFrequencies } from "../../nn/rope-frequencies.ts";

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

/** What a file says of its model, tokenizer aside. */
export function modelMetadata(
  { name: architecture }: Architecture,
  config: LlamaConfig,
  { name, fileType }: { readonly name: string; readonly fileType: TensorType },
): Metadata {
  const own = (entries: Readonly<Record<string, MetadataValue>>) =>
    Object.entries(entries).map(([key, value]) => [`${architecture}.${key}`, value] as const);
  return new Map<string, MetadataValue>([
    ["general.architecture", text(architecture)],
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
      "attention.layer_norm_rms_epsilon": float32(config.rms_norm_eps),
      "rope.dimension_count": uint32(config.head_dim),
      "rope.freq_base": float32(config.rope_parameters.rope_theta),
      ...ropeScaling(config),
    }),
  ]);
}

/** Keys below `rope` that tell how angles are stretched. @throws ConfigError for ways that llama.cpp has no keys for */
function ropeScaling(config: LlamaConfig): Readonly<Record<string, MetadataValue>> {
  const rope = config.rope_parameters;
  if (rope.partial_rotary_factor !== 1) throw unsupported("partial_rotary_factor", rope.partial_rotary_factor);
  switch (rope.rope_type) {
    case "default":
    case "llama3": // a tensor has the factors: see ropeFactors
      return {};
    case "linear":
      return { "rope.scaling.type": text("linear"), "rope.scaling.factor": float32(rope.factor) };
    case "yarn": {
      if (rope.attention_factor ?? rope.mscale ?? rope.mscale_all_dim) throw unsupported("attention_factor", "set");
      const length = rope.original_max_position_embeddings ?? config.max_position_embeddings;
      return {
        "rope.scaling.type": text("yarn"),
        "rope.scaling.factor": float32(rope.factor),
        "rope.scaling.original_context_length": uint32(length),
        "rope.scaling.yarn_beta_fast": float32(rope.beta_fast ?? 32),
        "rope.scaling.yarn_beta_slow": float32(rope.beta_slow ?? 1),
      };
    }
    default:
      throw unsupported("rope_type", rope.rope_type);
  }
}

function unsupported(key: string, value: unknown): ConfigError {
  return new ConfigError(`rope_parameters.${key}: ${value}, expected what llama.cpp knows of this architecture.`);
}

/**
 * What llama.cpp divides rotary frequencies by, in a tensor of their own; undefined where they are the plain ones or
 * keys tell.
 */
export function ropeFactors(config: LlamaConfig): Float32Array | undefined {
  const { rope_parameters: rope, head_dim, max_position_embeddings } = config;
  if (rope.rope_type !== "llama3") return undefined;
  const { inverseFrequency } = ropeFrequencies(rope, head_dim, max_position_embeddings);
  return plainFrequencies(rope.rope_theta, head_dim).map((plain, i) => plain / inverseFrequency[i]);
}
