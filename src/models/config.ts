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

/** A check that heads share the hidden size equally, for configurations that spell the two so. */
export function wholeHeads<Width extends string, Heads extends string>(width: Width, heads: Heads) {
  return (config: Readonly<Record<Width | Heads, number>>, context: z.RefinementCtx): void => {
    if (config[width] % config[heads] === 0) return;
    const message = `${config[width]}, expected a multiple of ${heads} ${config[heads]}`;
    context.addIssue({ code: "custom", path: [width], message });
  };
}
