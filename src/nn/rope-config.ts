import { z } from "zod";

const common = {
  rope_theta: z.number().positive().default(10_000),
  partial_rotary_factor: z.number().positive().max(1).default(1),
};
const factor = z.number().positive();
const originalLength = z.number().int().positive();

/** How the angles of rotary embeddings are stretched to longer texts; keys as in config.json's `rope_parameters`. */
export const ropeParameters = z.discriminatedUnion("rope_type", [
  z.object({ rope_type: z.literal("default"), ...common }),
  z.object({ rope_type: z.literal("linear"), factor, ...common }),
  z.object({ rope_type: z.literal("dynamic"), factor, ...common }),
  z.object({
    rope_type: z.literal("llama3"),
    factor,
    low_freq_factor: z.number().positive(),
    high_freq_factor: z.number().positive(),
    original_max_position_embeddings: originalLength,
    ...common,
  }),
  z.object({
    rope_type: z.literal("yarn"),
    factor,
    attention_factor: z.number().positive().nullish(),
    beta_fast: z.number().positive().nullish(),
    beta_slow: z.number().positive().nullish(),
    mscale: z.number().nullish(),
    mscale_all_dim: z.number().nullish(),
    truncate: z.boolean().default(true),
    original_max_position_embeddings: originalLength.nullish(),
    ...common,
  }),
  z.object({
    rope_type: z.literal("longrope"),
    factor: factor.nullish(),
    attention_factor: z.number().positive().nullish(),
    long_factor: z.array(z.number().positive()),
    short_factor: z.array(z.number().positive()),
    original_max_position_embeddings: originalLength.nullish(),
    ...common,
  }),
]);

export type RopeParameters = z.infer<typeof ropeParameters>;

/**
 * Brings the spellings of older configurations to `rope_parameters`: `rope_theta` beside `rope_scaling`, whose kind is
 * called `type` or `rope_type`, and lengths that stand at the top level.
 */
export function standardizeRope(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { rope_parameters, rope_scaling, rope_theta, original_max_position_embeddings, ...rest } = config;
  const given = (rope_parameters ?? rope_scaling ?? {}) as Record<string, unknown>;
  const kind = given.rope_type ?? given.type ?? "default";
  const parameters = {
    ...(rope_theta === undefined ? {} : { rope_theta }),
    ...(original_max_position_embeddings === undefined ? {} : { original_max_position_embeddings }),
    ...given,
    rope_type: kind === "su" ? "longrope" : kind,
  };
  return { ...rest, rope_parameters: parameters };
}
