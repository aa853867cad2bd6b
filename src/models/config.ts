import { z } from "zod";
import { ConfigError } from "../errors.ts";

/** A size or a number of things: a positive integer that no shape overflows with. */
export const count = z
  .number()
  .int()
  .positive({ abort: true })
  .max(2 ** 31);

/**
 * Checks `config` against `schema`.
 *
 * @param where - the file, for the message
 * @throws ConfigError naming every key that is missing or wrong
 */
export function parseConfig<Schema extends z.ZodType>(schema: Schema, config: unknown, where: string): z.infer<Schema> {
  const result = schema.safeParse(config);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join(".") || "(top level)"}: ${issue.message}`);
  throw new ConfigError(`${where}: ${problems.join("; ")}. Correct these values.`);
}

/** Decoder layers, and those times the experts in each; the largest models have 126 layers, or 61 of 384 experts. */
const [MOST_LAYERS, MOST_PARTS] = [2 ** 12, 2 ** 16];

const EXPERTS = /^(num|n)_(\w+_)?experts$/;

/**
 * Checks how many modules `config` asks for, as far as its usual keys tell, before one is made: a number costs nothing to
 * write.
 *
 * @throws ConfigError for more decoder layers, experts in each counted, than any model has
 */
export function checkModuleCounts(config: Readonly<Record<string, unknown>>, where: string): void {
  const { num_hidden_layers: layers, ...others } = config;
  const experts = Object.entries(others).filter(([key, value]) => EXPERTS.test(key) && typeof value === "number");
  const parts = Number(layers) * experts.reduce((sum, [, value]) => sum + Number(value), 1);
  if (!(Number(layers) > MOST_LAYERS || parts > MOST_PARTS)) return;
  const found = [`num_hidden_layers ${layers}`, ...experts.map(([key, value]) => `${key} ${value}`)].join(", ");
  throw new ConfigError(
    `${where}: ${found}, expected at most ${MOST_LAYERS} layers, and ${MOST_PARTS} experts in all of them. Correct these values.`,
  );
}
