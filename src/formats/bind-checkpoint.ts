import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { bindParameters } from "../nn/bind.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { ParameterSource } from "../nn/parameter.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { isFloatDType } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkpointQuantization } from "./compressed-modules.ts";
import type { Format } from "./format.ts";
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
    return module && name.endsWith(".weight") ? compressedSource(module, checkpoint) : denseSource(name, checkpoint);
  });
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
  const { schemes } = checkpointQuantization(model, checkpoint);
  const modules = new Map<string, CompressedModule>();
  for (const [path, linear] of model.namedModules()) {
    const scheme = schemes.get(linear);
    if (!(linear instanceof Linear) || !scheme?.weights) continue;
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
  return { name: `${path}.weight`, dtype: denseDType(path, checkpoint), shape, read };
}

/** The dtype that a compressed weight had: its scale's, or, where scales are stored in 8 bits, what readers decode to. */
function denseDType(path: string, checkpoint: Checkpoint): FloatDType {
  const scale = checkpoint.tensors.get(`${path}.weight_scale`)?.dtype;
  return scale && isFloatDType(scale) ? scale : "BF16";
}
