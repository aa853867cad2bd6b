import { z } from "zod";
import { safeParse, show } from "../checkpoint/issues.ts";
import { nearestNames } from "../nn/nearest-names.ts";
import { type CamelCased, camelCased, toSnakeCase } from "./names.ts";

/** A mapping of exactly these fields, as recipes spell them; it is parsed to our spelling. */
export function closed<Shape extends z.ZodRawShape>(shape: Shape): z.ZodType<CamelCased<z.output<z.ZodObject<Shape>>>> {
  const unknownField = z.custom(() => false, {
    error: ({ path }) => {
      const nearest = nearestNames(String(path?.at(-1)), Object.keys(shape));
      return `unknown field, expected one such as ${nearest.join(", ")}`;
    },
  });
  const object: z.ZodType<z.output<z.ZodObject<Shape>>> = z.object(shape).catchall(unknownField) as never;
  return object.transform(camelCased);
}

/** A field that may be left out, and for which null means the same. */
export function optional<T extends z.ZodType>(field: T) {
  return field.nullish().transform((value) => value ?? undefined);
}

/** A field of llm-compressor's that is read but not supported, other than with a value that changes nothing. */
export function unsupported(advice: string, ...harmless: readonly unknown[]) {
  const schema = z.custom<undefined>((value) => value == null || harmless.includes(value), {
    error: ({ input }) => `found ${show(input)}, expected ${show(harmless[0] ?? null)}. ${advice}`,
  });
  return schema.optional().transform(() => undefined);
}

/** What `schema` makes of `value`, which is in our spelling; what it finds wrong is reported as recipes spell it. */
export function parseInner<T>(schema: z.ZodType<T>, value: unknown, context: z.core.$RefinementCtx): T {
  const result = safeParse(schema, value);
  if (result.success) return result.data;
  for (const { message, path } of result.error.issues) {
    const spelled = path.map((part) => (typeof part === "string" ? toSnakeCase(part) : part));
    context.addIssue({ code: "custom", message, path: spelled });
  }
  return z.NEVER;
}
