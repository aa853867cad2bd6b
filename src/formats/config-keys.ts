import { z } from "zod";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { argsSchema } from "../schemes/arguments-schema.ts";
import { type QuantizationScheme, schemeSchemaWith } from "../schemes/scheme.ts";

/** Our name → config.json's for every field of `T`, in the order in which config.json has them. */
type Keys<T> = Readonly<Record<keyof T, string>>;

const ARGS_KEYS: Keys<QuantizationArgs> = {
  actorder: "actorder",
  blockStructure: "block_structure",
  dynamic: "dynamic",
  groupSize: "group_size",
  numBits: "num_bits",
  observer: "observer",
  observerKwargs: "observer_kwargs",
  scaleDtype: "scale_dtype",
  strategy: "strategy",
  symmetric: "symmetric",
  type: "type",
  zpDtype: "zp_dtype",
};

const SCHEME_KEYS: Keys<QuantizationScheme> = {
  format: "format",
  inputActivations: "input_activations",
  outputActivations: "output_activations",
  targets: "targets",
  weights: "weights",
};

/** Parses arguments as config.json spells them. */
export const argsJsonSchema: z.ZodType<QuantizationArgs> = z.preprocess(
  (value, context) => withKnownOrder(renameFrom(ARGS_KEYS)(value, context)),
  argsSchema,
);

/** Parses a value of `config_groups` as config.json spells it; a key that other readers refuse is an error. */
export const schemeJsonSchema: z.ZodType<QuantizationScheme> = z.preprocess(
  renameFrom(SCHEME_KEYS),
  schemeSchemaWith(argsJsonSchema),
);

/** Arguments with every key that the reference writes; null for none. */
export function argsToJson(args: QuantizationArgs | null): Record<string, unknown> | null {
  return args && toJson(args, ARGS_KEYS);
}

/** A value of `config_groups`, with every key that the reference writes. */
export function schemeToJson(scheme: QuantizationScheme): Record<string, unknown> {
  const { weights, inputActivations, outputActivations } = scheme;
  return toJson(
    {
      ...scheme,
      weights: argsToJson(weights),
      inputActivations: argsToJson(inputActivations),
      outputActivations: argsToJson(outputActivations),
    },
    SCHEME_KEYS,
  );
}

function toJson<T extends object>(value: { [Field in keyof T]: unknown }, keys: Keys<T>): Record<string, unknown> {
  return Object.fromEntries(Object.entries<string>(keys).map(([field, key]) => [key, value[field as keyof T]]));
}

/** Older files say `group` where columns name their groups; a tensor beside the weight tells which. */
function withKnownOrder(args: unknown): unknown {
  if (typeof args !== "object" || args === null || !("actorder" in args)) return args;
  return args.actorder === "group" || args.actorder === "dynamic" ? { ...args, actorder: "weight" } : args;
}

function renameFrom(keys: Readonly<Record<string, string>>) {
  const fields = new Map(Object.entries(keys).map(([field, key]) => [key, field]));
  return (value: unknown, { addIssue }: z.core.$RefinementCtx): unknown => {
    if (typeof value !== "object" || value === null) return value;
    const unknown = Object.keys(value).filter((key) => !fields.has(key));
    if (unknown.length > 0) {
      const message = `unknown key ${unknown.join(", ")}, expected ${[...fields.keys()].join(", ")}`;
      addIssue({ code: "custom", message });
    }
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [fields.get(key) ?? key, entry]));
  };
}
