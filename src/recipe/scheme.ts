import { z } from "zod";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { argsSchema } from "../schemes/arguments-schema.ts";
import { type PartialScheme, schemeSchemaWith } from "../schemes/scheme.ts";
import { closed, parseInner } from "./fields.ts";

/** Values are checked by {@link argsSchema}. */
const any = z.unknown().optional();

/** Quantization arguments: checked as a whole, kept as far as they are given. */
export const recipeArgsSchema: z.ZodType<Partial<QuantizationArgs>> = closed({
  num_bits: any,
  type: any,
  symmetric: any,
  strategy: any,
  group_size: any,
  block_structure: any,
  dynamic: any,
  actorder: any,
  scale_dtype: any,
  zp_dtype: any,
  observer: any,
  observer_kwargs: any,
} satisfies Record<string, z.ZodType>).transform((given, context) => {
  const whole: Readonly<Record<string, unknown>> = { ...parseInner(argsSchema, given, context) };
  return Object.fromEntries(Object.keys(given).map((field) => [field, whole[field]]));
});

const schemeSchema = schemeSchemaWith(argsSchema);

/** A value of `config_groups`: checked as a whole, kept as far as it is given. */
export const recipeSchemeSchema: z.ZodType<PartialScheme> = closed({
  targets: any,
  weights: recipeArgsSchema.nullish(),
  input_activations: recipeArgsSchema.nullish(),
  output_activations: recipeArgsSchema.nullish(),
  format: any,
}).transform((given, context) => {
  parseInner(schemeSchema, given, context);
  return given as PartialScheme;
});
