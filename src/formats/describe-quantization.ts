import { Router } from "../nn/experts.ts";
import { Linear } from "../nn/linear.ts";
import { namesOf } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import { writeQuantizationConfig } from "./quantization-config.ts";

/**
 * The `quantization_config` of a model: the distinct schemes in order of first use, and by full name every module that is
 * of the same class as a quantized one and has no scheme. Readers take the routers of experts for linears.
 */
export function describeQuantization(
  model: Module,
  schemes: ReadonlyMap<Linear, QuantizationScheme>,
): Record<string, unknown> {
  const modules = model.namedModules();
  const quantized = modules.filter(([, module]) => schemes.has(module as Linear));
  const groups = new Set(quantized.map(([, module]) => schemes.get(module as Linear) as QuantizationScheme));
  const ignore = modules.filter(([, module]) => isLinear(module) && !schemes.has(module as Linear));
  return writeQuantizationConfig({ groups: [...groups], ignore: ignore.flatMap((entry) => namesOf(...entry)) });
}

function isLinear(module: Module): boolean {
  return module instanceof Linear || module instanceof Router;
}
