import type { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import { writeQuantizationConfig } from "./quantization-config.ts";

/**
 * The `quantization_config` of a model: the distinct schemes in order of first use, and by full name every module that is
 * of the same class as a quantized one and has no scheme.
 */
export function describeQuantization(
  model: Module,
  schemes: ReadonlyMap<Linear, QuantizationScheme>,
): Record<string, unknown> {
  const modules = model.namedModules();
  const quantized = modules.filter(([, module]) => schemes.has(module as Linear));
  const groups = new Set(quantized.map(([, module]) => schemes.get(module as Linear) as QuantizationScheme));
  const classes = new Set(quantized.map(([, module]) => module.constructor));
  const ignore = modules.filter(([, module]) => classes.has(module.constructor) && !schemes.has(module as Linear));
  return writeQuantizationConfig({ groups: [...groups], ignore: ignore.map(([path]) => path) });
}
