import { ConfigError } from "../../errors.ts";
import type { Architecture } from "../../gguf/architectures.ts";
import { float32, type MetadataValue, text, uint32 } from "../../gguf/metadata.ts";
import { LONG_ROPE_FACTORS, ROPE_FACTORS, SHORT_ROPE_FACTORS } from "../../gguf/tensor-names.ts";
import type { LlamaConfig } from "../../models/llama.ts";
import type { RopeParameters } from "../../nn/rope-config.ts";
import { plainFrequencies, ropeFrequencies } from "../../nn/rope-frequencies.ts";
import type { ComputedTensor } from "./write.ts";

type Entries = Readonly<Record<string, MetadataValue>>;

/** Keys that tell of a model's rotary angles. @throws ConfigError for ways that llama.cpp has no keys for */
export function ropeMetadata(architecture: Architecture, config: LlamaConfig): Entries {
  if (architecture.embedsPositions) return {};
  const { rope_parameters: rope } = config;
  if (rope.partial_rotary_factor !== 1 && !architecture.rotatesPartially) {
    throw unsupported("partial_rotary_factor", rope.partial_rotary_factor);
  }
  return {
    "rope.dimension_count": uint32(rotatedColumns(config)),
    "rope.freq_base": float32(rope.rope_theta),
    ...slidingAngles(config),
    ...scaling(architecture, config),
  };
}

/** Columns of a head that are rotated. */
function rotatedColumns({ rope_parameters, head_dim }: LlamaConfig): number {
  return Math.floor(head_dim * rope_parameters.partial_rotary_factor);
}

/** Angles of layers that see a sliding window, where they have their own. */
function slidingAngles(config: LlamaConfig): Entries {
  const { local_rope_parameters: local } = config as { readonly local_rope_parameters?: RopeParameters };
  if (!local) return {};
  if (local.rope_type !== "default") throw unsupported("rope_type", `${local.rope_type} of sliding layers`);
  return { "rope.freq_base_swa": float32(local.rope_theta) };
}

/** How angles are stretched. */
function scaling({ ropeTensors = [] }: Architecture, config: LlamaConfig): Entries {
  const { rope_parameters: rope, max_position_embeddings: positions } = config;
  switch (rope.rope_type) {
    case "default":
      return {};
    case "llama3":
      if (!ropeTensors.includes("llama3")) throw unsupported("rope_type", rope.rope_type);
      return {}; // a tensor tells: see ropeTensors
    case "linear":
      return { "rope.scaling.type": text("linear"), "rope.scaling.factor": float32(rope.factor) };
    case "yarn":
      if (rope.attention_factor ?? rope.mscale ?? rope.mscale_all_dim) throw unsupported("attention_factor", "set");
      return {
        "rope.scaling.type": text("yarn"),
        "rope.scaling.factor": float32(rope.factor),
        "rope.scaling.original_context_length": uint32(rope.original_max_position_embeddings ?? positions),
        "rope.scaling.yarn_beta_fast": float32(rope.beta_fast ?? 32),
        "rope.scaling.yarn_beta_slow": float32(rope.beta_slow ?? 1),
      };
    case "longrope":
      if (!ropeTensors.includes("longrope")) throw unsupported("rope_type", rope.rope_type);
      return {
        "rope.scaling.type": text("longrope"),
        "rope.scaling.original_context_length": uint32(rope.original_max_position_embeddings ?? positions),
        "rope.scaling.attn_factor": float32(ropeFrequencies(rope, rotatedColumns(config), positions).scaling),
      };
    default:
      throw unsupported("rope_type", rope.rope_type);
  }
}

function unsupported(key: string, value: unknown): ConfigError {
  return new ConfigError(`rope_parameters.${key}: ${value}, expected what llama.cpp knows of this architecture.`);
}

/** What llama.cpp divides rotary frequencies by, in tensors of their own; none where they are the plain ones or keys tell. */
export function ropeTensors({ embedsPositions }: Architecture, config: LlamaConfig): ComputedTensor[] {
  if (embedsPositions) return [];
  const { rope_parameters: rope, max_position_embeddings: positions } = config;
  const tensor = (name: string, divisors: ArrayLike<number>): ComputedTensor => {
    const values = Float32Array.from(divisors);
    return { name, type: "F32", shape: [values.length], values };
  };
  if (rope.rope_type === "longrope")
    return [tensor(LONG_ROPE_FACTORS, rope.long_factor), tensor(SHORT_ROPE_FACTORS, rope.short_factor)];
  if (rope.rope_type !== "llama3") return [];
  const { inverseFrequency } = ropeFrequencies(rope, config.head_dim, positions);
  const plain = plainFrequencies(rope.rope_theta, config.head_dim);
  return [
    tensor(
      ROPE_FACTORS,
      plain.map((frequency, i) => frequency / inverseFrequency[i]),
    ),
  ];
}
