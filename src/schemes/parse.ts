import type { z } from "zod";
import { safeParse } from "../checkpoint/issues.ts";
import { type LayerwiseError, RecipeError } from "../errors.ts";

/** Which class of error a failed parse throws: it says where the input came from. */
type Failure = new (message: string) => LayerwiseError;

/**
 * What `schema` makes of `input`.
 *
 * @throws `failure`, naming every value that does not fit by its path below `where`.
 */
export function parseWith<T>(schema: z.ZodType<T>, input: unknown, where: string, failure: Failure = RecipeError): T {
  const result = safeParse(schema, input);
  if (result.success) return result.data;
  throw new failure(result.error.issues.map((issue) => describe(issue, where)).join("\n"));
}

function describe({ path, message }: z.core.$ZodIssue, where: string): string {
  return `${[where, ...path.map(asWritten)].join(".")}: ${message}${message.endsWith(".") ? "" : "."}`;
}

/** A field as recipes and config.json spell it. */
function asWritten(part: PropertyKey): string {
  return String(part).replace(/(?<=[a-z])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
