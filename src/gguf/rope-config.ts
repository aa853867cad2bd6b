import { CheckpointError } from "../errors.ts";
import type { Architecture } from "./architectures.ts";
import type { MetadataReader } from "./metadata-reader.ts";
import { LONG_ROPE_FACTORS, ROPE_FACTORS, SHORT_ROPE_FACTORS } from "./tensor-names.ts";

/** Divisors of rotary frequencies, by the name of the tensor that holds them. */
export type RopeFactors = ReadonlyMap<string, readonly number[]>;

/**
 * `rope_parameters` of config.json; where layers that see a sliding window have other angles, one for each kind of layers.
 *
 * @throws CheckpointError for angles that are stretched in a way that is not known
 */
export function ropesOfFile(
  reader: MetadataReader,
  { name, sliding, rotatesPartially }: Architecture,
  head_dim: number,
  factors: RopeFactors,
): Record<string, unknown> {
  const key = (rest: string) => `${name}.rope.${rest}`;
  const rope = {
    rope_theta: reader.number(key("freq_base"), 10_000),
    ...(rotatesPartially ? { partial_rotary_factor: reader.number(key("dimension_count"), head_dim) / head_dim } : {}),
    ...stretching(reader, key, reader.number(`${name}.context_length`), factors),
  };
  if (!sliding?.hasOwnAngles) return { rope_parameters: rope };
  const sliding_attention = { rope_type: "default", rope_theta: reader.number(key("freq_base_swa"), 10_000) };
  return { rope_parameters: { full_attention: rope, sliding_attention } };
}

/** How angles are stretched: by keys, or by tensors. */
function stretching(
  reader: MetadataReader,
  key: (rest: string) => string,
  positions: number,
  factors: RopeFactors,
): Record<string, unknown> {
  const type = reader.text(key("scaling.type")) ?? "none";
  const original_max_position_embeddings = reader.number(key("scaling.original_context_length"), positions);
  const [all, short, long] = [ROPE_FACTORS, SHORT_ROPE_FACTORS, LONG_ROPE_FACTORS].map((tensor) => factors.get(tensor));
  if (all ?? (short && long)) {
    return {
      rope_type: "longrope", // with one set of factors for any length, it is any other kind
      short_factor: all ?? short,
      long_factor: all ?? long,
      attention_factor: reader.number(key("scaling.attn_factor"), 1),
      original_max_position_embeddings,
    };
  }
  switch (type) {
    case "none":
      return { rope_type: "default" };
    case "linear":
      return { rope_type: "linear", factor: reader.number(key("scaling.factor")) };
    case "yarn":
      return {
        rope_type: "yarn",
        factor: reader.number(key("scaling.factor")),
        original_max_position_embeddings,
        beta_fast: reader.optional(key("scaling.yarn_beta_fast")),
        beta_slow: reader.optional(key("scaling.yarn_beta_slow")),
      };
    default:
      throw new CheckpointError(
        `${reader.where}: rope.scaling.type ${type}, expected angles that keys or tensors tell of. Use the checkpoint that the file was made of.`,
      );
  }
}
