import { CheckpointError } from "../errors.ts";
import { ARCHITECTURES, type Architecture, ROPE_FACTORS } from "./architectures.ts";
import type { Metadata } from "./metadata.ts";

/** Reads values of metadata that must be there, or have a default. */
export class MetadataReader {
  constructor(
    readonly where: string,
    private readonly metadata: Metadata,
  ) {}

  /** Whether a key is there. */
  has(key: string): boolean {
    return this.metadata.has(key);
  }

  /** A number. @throws CheckpointError where there is none and no `fallback` */
  number(key: string, fallback?: number): number {
    const entry = this.metadata.get(key);
    if (entry?.type !== "array" && typeof entry?.value === "number") return entry.value;
    if (entry === undefined && fallback !== undefined) return fallback;
    throw new CheckpointError(`${this.where}: no number ${key}, expected one. Get the file again.`);
  }

  /** A number; undefined where there is none. */
  optional(key: string): number | undefined {
    return this.metadata.has(key) ? this.number(key) : undefined;
  }

  /** A text; undefined where there is none. */
  text(key: string): string | undefined {
    const entry = this.metadata.get(key);
    return entry?.type === "string" ? String(entry.value) : undefined;
  }

  /** A yes or no; undefined where there is none. */
  flag(key: string): boolean | undefined {
    const entry = this.metadata.get(key);
    return entry?.type === "bool" ? entry.value === true : undefined;
  }

  /** Texts; empty where there are none. */
  texts(key: string): readonly string[] {
    const entry = this.metadata.get(key);
    return entry?.type === "array" && entry.of === "string" ? (entry.values as readonly string[]) : [];
  }

  /** Numbers; empty where there are none. */
  numbers(key: string): readonly number[] {
    const entry = this.metadata.get(key);
    return entry?.type === "array" && entry.of !== "string" ? (entry.values as readonly number[]) : [];
  }
}

/** The kind of model that a file holds. @throws CheckpointError for one that layerwise does not know */
export function architectureOfFile(reader: MetadataReader): Architecture {
  const name = reader.text("general.architecture");
  const architecture = ARCHITECTURES.find((known) => known.name === name);
  if (architecture) return architecture;
  const known = ARCHITECTURES.map((one) => one.name).join(", ");
  throw new CheckpointError(
    `${reader.where}: general.architecture ${JSON.stringify(name)}, expected one of ${known}. Use the checkpoint that the file was made of.`,
  );
}

/**
 * The config.json that a file's metadata amounts to.
 *
 * @param tensors - names of the file's tensors: some of what config.json says is seen from what there is
 * @throws CheckpointError for keys that are missing, and for angles that are stretched in a way that keys do not tell
 */
export function configOfFile(
  reader: MetadataReader,
  { name, modelTypes: [model_type] }: Architecture,
  tensors: ReadonlySet<string>,
): Record<string, unknown> {
  const key = (rest: string) => `${name}.${rest}`;
  const [hidden_size, heads] = [reader.number(key("embedding_length")), reader.number(key("attention.head_count"))];
  return {
    model_type,
    architectures: [`${model_type[0].toUpperCase()}${model_type.slice(1)}ForCausalLM`],
    vocab_size: reader.number(key("vocab_size"), reader.texts("tokenizer.ggml.tokens").length),
    hidden_size,
    intermediate_size: reader.number(key("feed_forward_length")),
    num_hidden_layers: reader.number(key("block_count")),
    num_attention_heads: heads,
    num_key_value_heads: reader.number(key("attention.head_count_kv"), heads),
    head_dim: reader.number(key("attention.key_length"), hidden_size / heads),
    max_position_embeddings: reader.number(key("context_length")),
    rms_norm_eps: singlePrecision(reader.number(key("attention.layer_norm_rms_epsilon"))),
    rope_parameters: ropeOfFile(reader, key, tensors),
    tie_word_embeddings: !tensors.has("output.weight"),
    ...(model_type === "qwen2" ? {} : { attention_bias: tensors.has("blk.0.attn_q.bias") }),
    mlp_bias: tensors.has("blk.0.ffn_up.bias"),
    bos_token_id: reader.optional("tokenizer.ggml.bos_token_id"),
    eos_token_id: reader.optional("tokenizer.ggml.eos_token_id"),
  };
}

/** `rope_parameters` of config.json. */
function ropeOfFile(
  reader: MetadataReader,
  key: (rest: string) => string,
  tensors: ReadonlySet<string>,
): Record<string, unknown> {
  const rope_theta = reader.number(key("rope.freq_base"), 10_000);
  const type = reader.text(key("rope.scaling.type")) ?? "none";
  if (tensors.has(ROPE_FACTORS) || !["none", "linear", "yarn"].includes(type)) {
    const found = tensors.has(ROPE_FACTORS) ? `a tensor ${ROPE_FACTORS}` : `rope.scaling.type ${type}`;
    throw new CheckpointError(
      `${reader.where}: ${found}, expected angles that keys tell of. Use the checkpoint that the file was made of.`,
    );
  }
  if (type === "none") return { rope_type: "default", rope_theta };
  const factor = reader.number(key("rope.scaling.factor"));
  if (type === "linear") return { rope_type: "linear", rope_theta, factor };
  return {
    rope_type: "yarn",
    rope_theta,
    factor,
    original_max_position_embeddings: reader.optional(key("rope.scaling.original_context_length")),
    beta_fast: reader.optional(key("rope.scaling.yarn_beta_fast")),
    beta_slow: reader.optional(key("rope.scaling.yarn_beta_slow")),
  };
}

/** The shortest decimal that single precision rounds to the same number: 1e-5, not 9.999999747378752e-6. */
function singlePrecision(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}
