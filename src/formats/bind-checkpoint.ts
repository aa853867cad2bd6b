import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { CausalLM } from "../models/causal-lm.ts";
import { bindParameters } from "../nn/bind.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter, ParameterSource } from "../nn/parameter.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import type { Buffers } from "../tensor/buffers.ts";
import { isFloatDType } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { checkpointQuantization } from "./checkpoint-quantization.ts";
import type { Format } from "./format.ts";
import { formatOf } from "./registry.ts";
import { decodeSparse, type SparseFormatName, sparseTensorNames } from "./sparse.ts";
import { attachTransforms } from "./transform-config.ts";

/**
 * Gives every parameter of the model its place in a checkpoint, dense or compressed: a compressed weight is decompressed
 * when it is read, and transforms of inputs and outputs become modules.
 *
 * @throws CheckpointError naming a parameter that the checkpoint lacks or holds in another shape
 */
export function bindCheckpoint(model: Module, checkpoint: Checkpoint): void {
  const compressed = compressedModules(model, checkpoint);
  attachTransforms(model, checkpointQuantization(model, checkpoint).transforms, checkpoint);
  const stored = StoredTensors.of(model, checkpoint);
  bindParameters(model, checkpoint, (name) => {
    const module = compressed.get(name.replace(/\.weight$/, ""));
    if (module && name.endsWith(".weight")) return compressedSource(module, stored);
    return stored.source(name) ?? stored.source(withoutPrefix(model, name));
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
  readonly scheme: QuantizationScheme;
  readonly args: QuantizationArgs;
}

/** The modules that the checkpoint's `quantization_config` says are compressed, by path. */
export function compressedModules(model: Module, checkpoint: Checkpoint): Map<string, CompressedModule> {
  const { schemes } = checkpointQuantization(model, checkpoint);
  const modules = new Map<string, CompressedModule>();
  for (const [path, linear] of model.namedModules()) {
    const scheme = schemes.get(linear);
    if (!(linear instanceof Linear) || !scheme?.weights) continue;
    modules.set(path, { path, linear, format: formatOf(scheme, path), scheme, args: scheme.weights });
  }
  return modules;
}

/** Reads the tensors in which the weight of a compressed module is stored, by full name: what its format restores it from. */
export function compressedTensorReader(
  model: Module,
  checkpoint: Checkpoint,
): (module: CompressedModule) => Promise<ReadonlyMap<string, Tensor>> {
  const stored = StoredTensors.of(model, checkpoint);
  return (module) => readCompressed(module, stored);
}

async function readCompressed({ path, linear, format, args }: CompressedModule, stored: StoredTensors) {
  const announced = format.tensors(path, linear.weight.shape, "F32", args).map(({ name }) => name);
  const older = (format.optional?.(path) ?? []).filter((name) => stored.checkpoint.tensors.has(name));
  const names = [...announced, ...older];
  const tensors = await Promise.all(names.map(async (name) => [name, await stored.read(name)] as const));
  return new Map<string, Tensor>(tensors);
}

function compressedSource(module: CompressedModule, stored: StoredTensors): ParameterSource {
  const { path, linear, format, args } = module;
  const read = async () => format.decompress(path, await readCompressed(module, stored), args);
  return { name: `${path}.weight`, dtype: denseDType(path, stored.checkpoint), shape: linear.weight.shape, read };
}

/** The tensors of a checkpoint as they were before they were pruned into a sparse format, if they were. */
class StoredTensors {
  private constructor(
    readonly checkpoint: Checkpoint,
    private readonly sparsity: SparseFormatName | null,
    private readonly parameters: ReadonlyMap<string, Parameter>,
  ) {}

  static of(model: Module, checkpoint: Checkpoint): StoredTensors {
    const { sparsity } = checkpointQuantization(model, checkpoint);
    return new StoredTensors(checkpoint, sparsity, new Map(model.namedParameters()));
  }

  /** Where the tensor of this name lies; undefined if the checkpoint has none. */
  source(name: string): ParameterSource | undefined {
    const { tensors } = this.checkpoint;
    const info = tensors.get(name);
    if (info) {
      const byRows = (rows: readonly number[]) => this.checkpoint.readRows(name, rows);
      const readRows = info.encoding?.transposed ? undefined : byRows;
      const read = (buffers?: Buffers) => this.checkpoint.read(name, buffers);
      const readFloat32 = (buffers?: Buffers) => this.checkpoint.readFloat32(name, buffers);
      return { name, dtype: info.dtype, shape: info.shape, read, readFloat32, readRows };
    }
    const shape = this.parameters.get(name)?.shape;
    if (!this.sparsity || !shape || !name.endsWith(".weight")) return undefined;
    const compressed = tensors.get(sparseTensorNames(this.sparsity, moduleOf(name)).compressed);
    return compressed && { name, dtype: compressed.dtype, shape, read: () => this.read(name) };
  }

  async read(name: string): Promise<Tensor> {
    const shape = this.parameters.get(name)?.shape;
    if (!this.sparsity || !shape || this.checkpoint.tensors.has(name)) return this.checkpoint.read(name);
    const names = Object.values(sparseTensorNames(this.sparsity, moduleOf(name)));
    const read = names.map(async (part) => [part, await this.checkpoint.read(part)] as const);
    return decodeSparse(this.sparsity, moduleOf(name), new Map(await Promise.all(read)), shape);
  }
}

function moduleOf(weight: string): string {
  return weight.replace(/\.weight$/, "");
}

/** The dtype that a compressed weight had: its scale's, or, where scales are stored in 8 bits, what readers decode to. */
export function denseDType(path: string, checkpoint: Checkpoint): FloatDType {
  const scale = checkpoint.tensors.get(`${path}.weight_scale`)?.dtype;
  return scale && isFloatDType(scale) ? scale : "BF16";
}
