import { ConfigError } from "../../errors.ts";
import type { Architecture } from "../../gguf/architectures.ts";
import type { LlamaConfig } from "../../models/llama.ts";

/**
 * Refuses a model that llama.cpp would compute in another way.
 *
 * @param where - config.json's path
 * @throws ConfigError naming the field
 */
export function checkConfig(architecture: Architecture, config: LlamaConfig, where: string): void {
  const { name, keys = [], assumes } = architecture;
  const values = config as LlamaConfig & Readonly<Record<string, unknown>>;
  const refuse = (field: string, expected: string) => {
    throw new ConfigError(
      `${where}: ${field} ${JSON.stringify(values[field])}, expected ${expected}: llama.cpp knows nothing else for ${name}.`,
    );
  };
  for (const { field, type, isRequired } of keys) {
    const [kind, expected] = type === "bool" ? ["boolean", "true or false"] : ["number", "a number"];
    if (isRequired && typeof values[field] !== kind) refuse(field, expected);
  }
  for (const [field, expected] of Object.entries(assumes?.(config) ?? {}))
    if (values[field] !== expected) refuse(field, JSON.stringify(expected));
}
