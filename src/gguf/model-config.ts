import { CheckpointError } from "../errors.ts";
import { ARCHITECTURES, type Architecture, LAYER_NORM_EPSILON } from "./architectures.ts";
import type { MetadataReader } from "./metadata-reader.ts";
import { type RopeFactors, ropesOfFile } from "./rope-config.ts";

/** The kind of model that a file holds. @throws CheckpointError for one that layerwise does not know */
export function architectureOfFile(reader: MetadataReader): Architecture {
  const name = reader.text("general.architecture");
  const hasExperts = reader.number(`${name}.expert_count`, 0) > 0;
  const architecture = ARCHITECTURES.find(
    ({ name: known, keys = [] }) => known === name && keys.some(({ key }) => key === "expert_count") === hasExperts,
  );
  if (architecture) return architecture;
  const known = [...new Set(ARCHITECTURES.map((one) => one.name))].join(", ");
  throw new CheckpointError(
    `${reader.where}: general.architecture ${JSON.stringify(name)}, expected one of ${known}. Use the checkpoint that the file was made of.`,
  );
}

/**
 * The config.json that a file's metadata amounts to.
 *
 * @param tensors - names of the file's tensors: some of what config.json says is seen from what there is
 * @param factors - divisors of rotary frequencies that tensors hold, by name
 * @throws CheckpointError for keys that are missing, and for angles that are stretched in a way that is not known
 */
export function configOfFile(
  reader: MetadataReader,
  architecture: Architecture,
  tensors: ReadonlySet<string>,
  factors: RopeFactors,
): Record<string, unknown> {
  const { name, modelTypes, className, fieldNames = {} } = architecture;
  const key = (rest: string) => `${name}.${rest}`;
  const [hidden_size, heads] = [reader.number(key("embedding_length")), reader.number(key("attention.head_count"))];
  const dimensions = {
    hidden_size,
    num_hidden_layers: reader.number(key("block_count")),
    num_attention_heads: heads,
    head_dim: reader.number(key("attention.key_length"), hidden_size / heads),
  };
  const config = {
    model_type: modelTypes[0],
    architectures: [className],
    vocab_size: reader.number(key("vocab_size"), reader.texts("tokenizer.ggml.tokens").length),
    ...dimensions,
    intermediate_size: reader.number(key("feed_forward_length")),
    num_key_value_heads: reader.number(key("attention.head_count_kv"), heads),
    max_position_embeddings: reader.number(key("context_length")),
    ...rmsEpsilon(reader, architecture),
    ...(architecture.embedsPositions ? {} : ropesOfFile(reader, architecture, dimensions.head_dim, factors)),
    tie_word_embeddings: !tensors.has("output.weight"),
    ...(name.startsWith("qwen2") ? {} : { attention_bias: tensors.has("blk.0.attn_q.bias") }),
    mlp_bias: tensors.has("blk.0.ffn_up.bias"),
    ...ownFields(reader, architecture),
    ...layersThatSlide(reader, architecture, dimensions.num_hidden_layers),
    ...architecture.assumes?.(dimensions),
    bos_token_id: reader.optional("tokenizer.ggml.bos_token_id"),
    eos_token_id: reader.optional("tokenizer.ggml.eos_token_id"),
  };
  return Object.fromEntries(Object.entries(config).map(([field, value]) => [fieldNames[field] ?? field, value]));
}

/** Of norms that do not subtract the mean. */
function rmsEpsilon(reader: MetadataReader, { name, keys = [] }: Architecture): Record<string, number> {
  if (keys.some(({ key }) => key === LAYER_NORM_EPSILON)) return {};
  return { rms_norm_eps: singlePrecision(reader.number(`${name}.attention.layer_norm_rms_epsilon`)) };
}

/** Fields that only this architecture has; 0 stands for none. */
function ownFields(reader: MetadataReader, { name, keys = [] }: Architecture): Record<string, unknown> {
  return Object.fromEntries(
    keys.flatMap(({ key, field, type }): [string, unknown][] => {
      if (type === "bool") return [[field, reader.flag(`${name}.${key}`)]];
      const value = reader.optional(`${name}.${key}`);
      return value === undefined ? [] : [[field, value === 0 ? null : singlePrecision(value)]];
    }),
  );
}

/** `layer_types`: a file lists the layers that see a sliding window, tells after how many there is one that does not, or neither. */
function layersThatSlide(
  reader: MetadataReader,
  { name, sliding }: Architecture,
  layers: number,
): Record<string, unknown> {
  if (!sliding) return {};
  const key = `${name}.attention.sliding_window_pattern`;
  const listed = reader.flags(key);
  const period = listed.length > 0 ? sliding.period : reader.number(key, sliding.period);
  const window = reader.number(`${name}.attention.sliding_window`, sliding.window);
  const slides = (index: number) => (listed.length > 0 ? listed[index] : (index + 1) % period !== 0);
  return {
    layer_types: Array.from({ length: layers }, (_, index) =>
      window > 0 && slides(index) ? "sliding_attention" : "full_attention",
    ),
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
