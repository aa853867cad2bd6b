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
