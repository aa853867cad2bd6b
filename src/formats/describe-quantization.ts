import { Attend } from "../nn/attend.ts";
import { Router } from "../nn/experts.ts";
import { Linear } from "../nn/linear.ts";
import { namesOf } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import { transformGroups } from "../nn/online-transform.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import { writeQuantizationConfig } from "./quantization-config.ts";

/**
 * The `quantization_config` of a model: the distinct schemes in order of first use, and by full name every module that is
 * of the same class as a quantized one and has no scheme. Readers take the routers of experts for linears. Where attention is
 * quantized, so is the cache.
 */
export function describeQuantization(
  model: Module,
  { schemes, kvCacheScheme }: ModelQuantization,
): Record<string, unknown> {
  const modules = model.namedModules();
  const quantized = modules.filter(([, module]) => schemes.has(module));
  const groups = new Set(quantized.map(([, module]) => schemes.get(module) as QuantizationScheme));
  const hasLinears = quantized.some(([, module]) => module instanceof Linear);
  const ignore = hasLinears ? modules.filter(([, module]) => isLinear(module) && !schemes.has(module)) : [];
  const attention = quantized.find(([, module]) => module instanceof Attend);
  const cache = kvCacheScheme ?? (attention && schemes.get(attention[1])?.inputActivations) ?? null;
  return writeQuantizationConfig({
    groups: [...groups],
    ignore: ignore.flatMap((entry) => namesOf(...entry)),
    kvCacheScheme: cache,
    transforms: transformGroups(model),
  });
}

function isLinear(module: Module): boolean {
  return module instanceof Linear || module instanceof Router;
}
