import { z } from "zod";
import { type QuantizationArgs, STRATEGIES, type Strategy } from "./arguments.ts";
import { ARGS_RULES } from "./arguments-rules.ts";
import { parseWith } from "./parse.ts";

const torchDType = z.string().transform((name) => (name.startsWith("torch.") ? name : `torch.${name}`));
const positive = z.int().positive();

const blockStructure = z.preprocess(
  (value) => (typeof value === "string" ? value.split("x").map(Number) : value), // older files say "128x128"
  z.tuple([positive, positive]),
);

const actorder = z
  .union([z.enum(["weight", "static"]), z.literal(false).transform(() => null)], {
    error: ({ input }) =>
      `${JSON.stringify(input)}, expected "weight", "static" or null. "weight" keeps groups in place`,
  })
  .nullable();

const given = z.strictObject({
  numBits: z.int().default(8),
  type: z.enum(["int", "float"]).default("int"),
  symmetric: z.boolean().default(true),
  strategy: z.enum(STRATEGIES).nullable().default(null),
  groupSize: z
    .int()
    .refine((size) => size === -1 || size > 0, { error: "expected a positive integer, or -1 for one scale a row" })
    .nullable()
    .default(null),
  blockStructure: blockStructure.nullable().default(null),
  dynamic: z.union([z.boolean(), z.literal("local")], { error: 'expected true, false or "local"' }).default(false),
  actorder: actorder.default(null),
  scaleDtype: torchDType.nullable().default(null),
  zpDtype: torchDType.nullable().default(null),
  observer: z.string().nullable().default(null),
  observerKwargs: z.record(z.string(), z.unknown()).default({}),
});

/** Parses arguments from outside: defaults applied, strategy and zero point's dtype inferred, contradictions refused. */
export const argsSchema: z.ZodType<QuantizationArgs> = given
  .transform((args) => ({
    ...args,
    strategy: args.strategy ?? inferStrategy(args.groupSize),
    zpDtype: inferZpDType(args),
  }))
  .superRefine((args, { addIssue }) => {
    for (const rule of ARGS_RULES.filter(({ broken }) => broken(args))) {
      addIssue({ code: "custom", message: rule.message(args) });
    }
  });

/**
 * Whole arguments from the fields that are given.
 *
 * @throws RecipeError if fields are unknown or contradict each other; `where` opens its message.
 * @example
 * ```ts
 * completeArgs({ numBits: 4, groupSize: 128 }).strategy; // "group"
 * ```
 */
export function completeArgs(partial: Partial<QuantizationArgs>, where = "quantization arguments"): QuantizationArgs {
  return parseWith(argsSchema, partial, where);
}

function inferStrategy(groupSize: number | null): Strategy {
  if (groupSize === null) return "tensor";
  return groupSize === -1 ? "channel" : "group";
}

function inferZpDType({ symmetric, zpDtype }: Pick<QuantizationArgs, "symmetric" | "zpDtype">) {
  return symmetric ? null : (zpDtype ?? "torch.int8");
}
