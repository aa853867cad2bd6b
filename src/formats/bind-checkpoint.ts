import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { bindParameters } from "../nn/bind.ts";
import { Linear } from "../nn/linear.ts";
import { matchesAny } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import type { ParameterSource } from "../nn/parameter.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { readQuantizationConfig } from "./quantization-config.ts";
import { formatOf } from "./registry.ts";

/**
 * Gives every parameter of the model its place in a checkpoint, dense or compressed: a compressed weight is decompressed
 * when it is read.
 *
 * @throws CheckpointError naming a parameter that the checkpoint lacks or holds in another shape
 */
export function bindCheckpoint(model: Module, checkpoint: Checkpoint): void {
  const compressed = compressedSources(model, checkpoint);
  bindParameters(model, checkpoint, (name) => compressed.get(name) ?? denseSource(name, checkpoint));
}

function denseSource(name: string, checkpoint: Checkpoint): ParameterSource | undefined {
  const info = checkpoint.tensors.get(name);
  return info && { name, dtype: info.dtype, shape: info.shape, read: () => checkpoint.read(name) };
}

/** How each weight is read that `quantization_config` says is compressed, by the weight's name. */
function compressedSources(model: Module, checkpoint: Checkpoint): Map<string, ParameterSource> {
  const sources = new Map<string, ParameterSource>();
  if (checkpoint.config.quantization_config === undefined) return sources;
  const { groups, ignore } = readQuantizationConfig(checkpoint.config.quantization_config);
  for (const [path, module] of model.namedModules()) {
    const scheme = groups.find(({ targets }) => matchesAny(targets, path, module));
    if (!(module instanceof Linear) || !scheme?.weights || matchesAny(ignore, path, module)) continue;
    sources.set(`${path}.weight`, compressedSource(path, module, scheme, checkpoint));
  }
  return sources;
}

function compressedSource(
  path: string,
  { weight }: Linear,
  scheme: QuantizationScheme,
  checkpoint: Checkpoint,
): ParameterSource {
  const format = formatOf(scheme, path);
  const { weights: args } = scheme;
  if (!args) throw new TypeError(`${path}: a scheme without weights has no compressed source`);
  const read = async () => {
    const names = format.tensors(path, weight.shape, "F32", args).map(({ name }) => name);
    const tensors = await Promise.all(names.map(async (name) => [name, await checkpoint.read(name)] as const));
    return format.decompress(path, new Map<string, Tensor>(tensors), args);
  };
  return { name: `${path}.weight`, dtype: "F32", shape: weight.shape, read };
}
