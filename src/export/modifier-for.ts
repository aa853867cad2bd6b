import { GPTQModifier } from "../modifiers/gptq.ts";
import { exportFormatNamed } from "./registry.ts";

/**
 * GPTQ of all linears but the last, with a scheme that a format carries exactly.
 *
 * @param dtype - one of the format's types, where it has several that are quantized
 * @throws ConfigError for a format that there is none of, or a type that is none of its quantized ones
 * @example
 * await oneshot({ model, recipe: modifierFor("gguf", "Q4_0"), format: ["gguf"], dataset, output });
 */
export function modifierFor(format: string, dtype?: string): GPTQModifier {
  const weights = exportFormatNamed(format).argsFor(dtype);
  return new GPTQModifier({ configGroups: { group_0: { targets: ["Linear"], weights } }, ignore: ["lm_head"] });
}
