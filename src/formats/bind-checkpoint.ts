import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { timeLimited } from "../checkpoint/time-limit.ts";
import { CausalLM } from "../models/causal-lm.ts";
import { bestMatch } from "../nn/best-match.ts";
import { bindParameters } from "../nn/bind.ts";
import { Linear } from "../nn/linear.ts";
import { matchesAny } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import type { ParameterSource } from "../nn/parameter.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Format } from "./format.ts";
import { readQuantizationConfig } from "./quantization-config.ts";
import { formatOf } from "./registry.ts";

/**
 * Gives every parameter of the model its place in a checkpoint, dense or compressed: a compressed weight is decompressed
 * when it is read.
 *
 * @throws CheckpointError naming a parameter that the checkpoint lacks or holds in another shape
 */
export function bindCheckpoint(model: Module, checkpoint: Checkpoint): void {
  const compressed = compressedModules(model, checkpoint);
  bindParameters(model, checkpoint, (name) => {
    const module = compressed.get(name.replace(/\.weight$/, ""));
    if (module && name.endsWith(".weight")) return compressedSource(module, checkpoint);
    return denseSource(name, checkpoint) ?? denseSource(withoutPrefix(model, name), checkpoint);
  });
}

/** The name that a parameter has in a checkpoint that was saved without the last projection. */
export function withoutPrefix(model: Module, name: string): string {
  const prefix = model instanceof CausalLM ? model.optionalPrefix : undefined;
  return prefix !== undefined && name.startsWith(prefix) ? name.slice(prefix.length) : name;
}

/** A module whose weight is stored compressed. */
export interface CompressedModule {
  readonly path: string;
  readonly linear: Linear;
  readonly format: Format;
  readonly args: QuantizationArgs;
}

/** The modules that the checkpoint's `quantization_config` says are compressed, by path. */
export function compressedModules(model: Module, checkpoint: Checkpoint): Map<string, CompressedModule> {
  if (checkpoint.config.quantization_config === undefined) return new Map();
  const where = checkpoint.pathOf("config.json");
  return timeLimited(matchCompressed, `${where}: the patterns in quantization_config`)(model, checkpoint);
}

/** Patterns that a checkpoint brings may backtrack without end. */
function matchCompressed(model: Module, checkpoint: Checkpoint): Map<string, CompressedModule> {
  const modules = new Map<string, CompressedModule>();
  const { groups, ignore } = readQuantizationConfig(checkpoint.config.quantization_config);
  for (const [path, linear] of model.namedModules()) {
    const scheme = bestMatch(path, linear, groups);
    if (!(linear instanceof Linear) || !scheme?.weights || matchesAny(ignore, path, linear)) continue;
    modules.set(path, { path, linear, format: formatOf(scheme, path), args: scheme.weights });
  }
  return modules;
}

function denseSource(name: string, checkpoint: Checkpoint): ParameterSource | undefined {
  const info = checkpoint.tensors.get(name);
  return info && { name, dtype: info.dtype, shape: info.shape, read: () => checkpoint.read(name) };
}

function compressedSource({ path, linear, format, args }: CompressedModule, checkpoint: Checkpoint): ParameterSource {
  const { shape } = linear.weight;
  const read = async () => {
    const names = format.tensors(path, shape, "F32", args).map(({ name }) => name);
    const tensors = await Promise.all(names.map(async (name) => [name, await checkpoint.read(name)] as const));
    return format.decompress(path, new Map<string, Tensor>(tensors), args);
  };
  return { name: `${path}.weight`, dtype: "F32", shape, read };
}
