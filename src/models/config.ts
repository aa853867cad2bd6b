import { z } from "zod";
import { safeParse } from "../checkpoint/issues.ts";
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
  const result = safeParse(schema, config);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `${issue.path.join(".") || "(top level)"}: ${issue.message}`);
  throw new ConfigError(`${where}: ${problems.join("; ")}. Correct these values.`);
}

/** Decoder layers, and those times the experts in each; the largest models have 126 layers, or 61 of 384 experts. */
const [MOST_LAYERS, MOST_PARTS] = [2 ** 12, 2 ** 16];

const LAYERS = /^(num_hidden_layers|num_layers|n_layers?)$/;
const EXPERTS = /^(num|n)_(\w+_)?experts$/;

/**
 * Checks how many modules `config` asks for, as far as its usual keys tell, before one is made: a number costs nothing to
 * write.
 *
 * @throws ConfigError for more decoder layers, experts in each counted, than any model has
 */
export function checkModuleCounts(config: Readonly<Record<string, unknown>>, where: string): void {
  const numbers = Object.entries(config).filter((entry): entry is [string, number] => typeof entry[1] === "number");
  const [layers, experts] = [LAYERS, EXPERTS].map((pattern) => numbers.filter(([key]) => pattern.test(key)));
  const depth = Math.max(0, ...layers.map(([, value]) => value));
  const parts = depth * experts.reduce((sum, [, value]) => sum + value, 1);
  if (depth <= MOST_LAYERS && parts <= MOST_PARTS) return;
  const found = [...layers, ...experts].map(([key, value]) => `${key} ${value}`).join(", ");
  throw new ConfigError(
    `${where}: ${found}, expected at most ${MOST_LAYERS} layers, and ${MOST_PARTS} experts in all of them. Correct these values.`,
  );
}

/** A check that heads share the hidden size equally, for configurations that spell the two so. */
export function wholeHeads<Width extends string, Heads extends string>(width: Width, heads: Heads) {
  return (config: Readonly<Record<Width | Heads, number>>, context: z.RefinementCtx): void => {
    if (config[width] % config[heads] === 0) return;
    const message = `${config[width]}, expected a multiple of ${heads} ${config[heads]}`;
    context.addIssue({ code: "custom", path: [width], message });
  };
}

/** A config.json with another number of experts in each layer. */
export function withExperts(
  config: Readonly<Record<string, unknown>>,
  experts: number,
): Readonly<Record<string, unknown>> {
  const keys = EXPERT_COUNTS.filter((key) => key in config);
  return { ...config, ...Object.fromEntries(keys.map((key) => [key, experts])) };
}

/** The spellings of the number of experts. */
const EXPERT_COUNTS: readonly string[] = ["num_experts", "num_local_experts"];
