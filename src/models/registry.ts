import { ConfigError } from "../errors.ts";
import type { CausalLM } from "./causal-lm.ts";
import { checkModuleCounts } from "./config.ts";
import type { ModelFamily } from "./family.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { qwen2 } from "./qwen2.ts";

/** The model families that layerwise knows. */
export const MODEL_FAMILIES: readonly ModelFamily[] = [llama, mistral, qwen2];

/**
 * The model that a config.json describes: names and shapes, no weights.
 *
 * @param where - the configuration's file, for error messages
 * @throws ConfigError for a `model_type` that is not supported, or values that are missing or wrong
 */
export function createModel(
  config: Readonly<Record<string, unknown>>,
  { where = "config.json", families = MODEL_FAMILIES } = {},
): CausalLM {
  const family = families.find(({ modelType }) => modelType === config.model_type);
  if (!family) {
    const supported = families.map(({ modelType }) => modelType).join(", ");
    const found = JSON.stringify(config.model_type)?.slice(0, 100);
    throw new ConfigError(`${where}: model_type ${found}, expected one of: ${supported}.`);
  }
  checkModuleCounts(config, where);
  return family.create(config, where);
}
