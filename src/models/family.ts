import type { z } from "zod";
import { standardizeRope } from "../nn/rope-config.ts";
import type { CausalLM } from "./causal-lm.ts";
import { parseConfig } from "./config.ts";

/** One `model_type`: how its config.json is read and which model follows from it. */
export interface ModelFamily {
  readonly modelType: string;
  /** @param where - the configuration's file, for error messages */
  create(config: Readonly<Record<string, unknown>>, where: string): CausalLM;
}

/**
 * A family from the schema of its configuration and the model that takes it.
 *
 * @param standardize - brings older spellings of the configuration to the schema's
 */
export function defineFamily<Schema extends z.ZodType>(
  modelType: string,
  schema: Schema,
  create: (config: z.infer<Schema>) => CausalLM,
  standardize: (config: Readonly<Record<string, unknown>>) => Record<string, unknown> = standardizeRope,
): ModelFamily {
  return { modelType, create: (config, where) => create(parseConfig(schema, standardize(config), where)) };
}
