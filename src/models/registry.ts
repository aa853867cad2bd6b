import { ConfigError } from "../errors.ts";
import type { CausalLM } from "./causal-lm.ts";
import { checkModuleCounts } from "./config.ts";
import type { ModelFamily } from "./family.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3Text } from "./gemma3_text.ts";
import { gptNeoX } from "./gpt_neox.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { mixtral } from "./mixtral.ts";
import { opt } from "./opt.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen2Moe } from "./qwen2_moe.ts";
import { qwen3 } from "./qwen3.ts";
import { qwen3Moe } from "./qwen3_moe.ts";

/** The model families that layerwise knows. */
export const MODEL_FAMILIES: readonly ModelFamily[] = [
  llama,
  mistral,
  qwen2,
  qwen3,
  gemma2,
  gemma3Text,
  phi3,
  mixtral,
  qwen2Moe,
  qwen3Moe,
  gpt2,
  opt,
  gptNeoX,
];

/**
 * The model that a config.json describes: names and shapes, no weights.
 *
 * @param where - the configuration's file, for error messages
 * @throws ConfigError for a `model_type` that is not supported, or values that are missing or wrong
 * @example
 * const model = createModel(checkpoint.config);
 * bindCheckpoint(model, checkpoint); // now its parameters can be read
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
