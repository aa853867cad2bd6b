import { z } from "zod";
import type { QuantizationArgs, Strategy } from "./arguments.ts";
import { argsSchema } from "./arguments-schema.ts";
import { parseWith } from "./parse.ts";

/** How a module's compressed tensors lie in a checkpoint. */
export type FormatName = (typeof FORMAT_NAMES)[number];

const FORMAT_NAMES = [
  "dense",
  "pack-quantized",
  "int-quantized",
  "float-quantized",
  "naive-quantized",
  "nvfp4-pack-quantized",
  "mxfp4-pack-quantized",
  "mxfp8-quantized",
] as const;

/** What is quantized, and how, in the modules that `targets` names. */
export interface QuantizationScheme {
  /** Class names (`Linear`), full module names, or `re:` and a regular expression. */
  readonly targets: readonly string[];
  /** Null leaves weights as they are; likewise below. */
  readonly weights: QuantizationArgs | null;
  readonly inputActivations: QuantizationArgs | null;
  readonly outputActivations: QuantizationArgs | null;
  /** Null leaves the choice to what is quantized. */
  readonly format: FormatName | null;
}

const INPUT_STRATEGIES: readonly Strategy[] = ["token", "tensor", "group", "tensor_group", "attn_head"];

/** Parses a scheme from outside, whose arguments `args` parses. */
export function schemeSchemaWith(args: z.ZodType<QuantizationArgs>): z.ZodType<QuantizationScheme> {
  const activations = args.refine(({ actorder }) => actorder === null, {
    error: "actorder is set, expected null: it is an order of weight columns",
  });
  const inputs = activations.refine(({ strategy }) => INPUT_STRATEGIES.includes(strategy), {
    error: `strategy is not one for activations, expected one of ${INPUT_STRATEGIES.join(", ")}`,
  });
  return z.strictObject({
    targets: z.array(z.string()),
    weights: args.nullable().default(null),
    inputActivations: inputs.nullable().default(null),
    outputActivations: activations.nullable().default(null),
    format: z.enum(FORMAT_NAMES).nullable().default(null),
  });
}

const schemeSchema = schemeSchemaWith(argsSchema);

/** A scheme of which only `targets` must be given, and of whose arguments any part may be left out. */
export interface PartialScheme {
  readonly targets: readonly string[];
  readonly weights?: Partial<QuantizationArgs> | null;
  readonly inputActivations?: Partial<QuantizationArgs> | null;
  readonly outputActivations?: Partial<QuantizationArgs> | null;
  readonly format?: FormatName | null;
}

/**
 * A whole scheme from the fields that are given.
 *
 * @throws RecipeError if fields are unknown or contradict each other; `where` opens its message.
 */
export function completeScheme(partial: PartialScheme, where = "scheme"): QuantizationScheme {
  return parseWith(schemeSchema, partial, where);
}
