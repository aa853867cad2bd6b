import { ConfigError } from "../../errors.ts";
import type { Architecture, ConfigKey } from "../../gguf/architectures.ts";
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
  for (const key of keys)
    if (key.isRequired && !hasValue(config, key)) refuse(key.field, key.type === "bool" ? "true or false" : "a number");
  for (const [field, expected] of Object.entries(assumes?.(config) ?? {}))
    if (values[field] !== expected) refuse(field, JSON.stringify(expected));
}

/** Whether config.json has a value for a key. */
export function hasValue(config: object, { field, type }: ConfigKey): boolean {
  const value = (config as Readonly<Record<string, unknown>>)[field];
  return typeof value === (type === "bool" ? "boolean" : "number");
}
