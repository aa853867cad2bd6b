import { z } from "zod";

const common = {
  rope_theta: z.number().positive().default(10_000),
  partial_rotary_factor: z.number().positive().max(1).default(1),
};
const factor = z.number().positive();
const originalLength = z.number().int().positive();

const variants = [
  z.object({ rope_type: z.literal("default"), ...common }),
  z.object({ rope_type: z.literal("linear"), factor, ...common }),
  z.object({ rope_type: z.literal("dynamic"), factor, ...common }),
  z.object({
    rope_type: z.literal("llama3"),
    factor,
    low_freq_factor: z.number().positive(),
    high_freq_factor: z.number().positive(),
    original_max_position_embeddings: originalLength.nullish(),
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
] as const;

/** How the angles of rotary embeddings are stretched to longer texts; keys as in config.json's `rope_parameters`. */
export const ropeParameters = z.discriminatedUnion("rope_type", variants, {
  error({ code, input }) {
    if (code !== "invalid_union") return undefined;
    const kinds = variants.map(({ shape }) => shape.rope_type.value);
    return `${JSON.stringify((input as { rope_type: unknown }).rope_type)}, expected one of: ${kinds.join(", ")}`;
  },
});

/** One kind of rotary embedding with its parameters. */
export type RopeParameters = z.infer<typeof ropeParameters>;

/**
 * Brings the spellings of older configurations to `rope_parameters`: `rope_theta` beside `rope_scaling`, whose kind is
 * called `type` or `rope_type`, and values that stand at the top level. Where transformers looks in both places, the
 * order is its own: the original length at the top level wins, any other value inside.
 */
export function standardizeRope(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { rope_parameters, rope_scaling, ...rest } = config;
  const given = rope_parameters ?? rope_scaling ?? {};
  if (!isRecord(given)) return { ...rest, rope_parameters: given };
  const kind = given.rope_type ?? given.type ?? "default";
  const parameters = {
    ...pick(config, "rope_theta", "partial_rotary_factor"),
    ...given,
    ...pick(config, "original_max_position_embeddings"),
    rope_type: kind === "su" ? "longrope" : kind,
  };
  return { ...rest, rope_parameters: parameters };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && !Array.isArray(value);
}

/** The entries of `config` under `keys`, as far as they are given. */
function pick(config: Readonly<Record<string, unknown>>, ...keys: string[]): Record<string, unknown> {
  return Object.fromEntries(keys.filter((key) => config[key] != null).map((key) => [key, config[key]]));
}
