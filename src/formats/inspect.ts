import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.ts";
import type { TensorInfo } from "../checkpoint/safetensors.ts";
import { createModel } from "../models/registry.ts";
import { Linear } from "../nn/linear.ts";
import { elementCount } from "../tensor/tensor.ts";
import { compressedModules } from "./bind-checkpoint.ts";
import { checkpointQuantization } from "./checkpoint-quantization.ts";
import { describeActivations, describeScheme } from "./describe-scheme.ts";

/** One way in which tensors are stored, and how much of the checkpoint is. */
export interface StorageSummary {
  /** The format of compressed modules; "dense" for all other tensors. */
  readonly format: string;
  /**
   * How the weights are quantized, such as "int4 symmetric, group 128", and inputs and outputs where they are; the dtype of
   * dense tensors.
   */
  readonly weights: string;
  /** How many are stored so. */
  readonly modules: number;
  /** Elements of their weights; scales and zero points do not count. */
  readonly parameters: number;
  /** Bytes of their tensors, scales and zero points included. */
  readonly bytes: number;
}

/** What a checkpoint holds. */
export interface CheckpointSummary {
  readonly folder: string;
  /** `model_type` of config.json. */
  readonly modelType: string;
  /** In the order of the checkpoint's tensors. */
  readonly storage: readonly StorageSummary[];
  /** How keys and values are quantized before attention reads them; null where they are not. */
  readonly keysAndValues: string | null;
  /** Linear modules that are not quantized. */
  readonly ignored: readonly string[];
  /** Elements of all parameters; scales and zero points do not count. */
  readonly parameters: number;
  /** Bytes of all tensors. */
  readonly bytes: number;
  /** Size of the same parameters at 16 bits, divided by `bytes`. */
  readonly ratio: number;
}

/**
 * Reads the headers of a checkpoint and tells what is quantized, how, and how large it is.
 *
 * @throws CheckpointError for a folder that is no checkpoint, ConfigError for a model that is not supported
 * @example
 * const { ratio } = await inspectCheckpoint("SmolLM2-135M-W4A16"); // 2.9 times smaller than at 16 bits
 */
export async function inspectCheckpoint(folder: string): Promise<CheckpointSummary> {
  const checkpoint = await openCheckpoint(folder);
  await checkpoint.close();
  const model = createModel(checkpoint.config, { where: checkpoint.pathOf("config.json") });
  const compressed = compressedModules(model, checkpoint);
  const { kvCacheScheme } = checkpointQuantization(model, checkpoint);
  const storage = summarize(checkpoint, compressed);
  const linears = model.namedModules().filter(([, module]) => module instanceof Linear);
  const sum = (field: "parameters" | "bytes") => storage.reduce((total, part) => total + part[field], 0);
  return {
    folder,
    modelType: String(checkpoint.config.model_type),
    storage,
    keysAndValues: kvCacheScheme && describeActivations(kvCacheScheme),
    ignored: linears.filter(([path]) => !compressed.has(path)).map(([path]) => path),
    parameters: sum("parameters"),
    bytes: sum("bytes"),
    ratio: (2 * sum("parameters")) / sum("bytes"),
  };
}

/** Sums up tensors by how they are stored. */
function summarize(checkpoint: Checkpoint, compressed: ReturnType<typeof compressedModules>): StorageSummary[] {
  const groups = new Map<
    string,
    { format: string; weights: string; modules: Set<string>; parameters: number; bytes: number }
  >();
  for (const info of checkpoint.tensors.values()) {
    const [owner, field] = splitName(info.name);
    const module = field === "bias" ? undefined : compressed.get(owner);
    const format = module?.format.name ?? "dense";
    const weights = module ? describeScheme(module.scheme) : (info.encoding?.name ?? info.dtype);
    const key = `${format} ${weights}`;
    const group = groups.get(key) ?? { format, weights, modules: new Set(), parameters: 0, bytes: 0 };
    if (!module) group.parameters += elementCount(info.shape);
    else if (!group.modules.has(owner)) group.parameters += elementCount(module.linear.weight.shape);
    group.modules.add(owner);
    group.bytes += byteLength(info);
    groups.set(key, group);
  }
  return [...groups.values()].map((group) => ({ ...group, modules: group.modules.size }));
}

function splitName(name: string): [owner: string, field: string] {
  const dot = name.lastIndexOf(".");
  return [name.slice(0, dot), name.slice(dot + 1)];
}

function byteLength({ begin, end }: TensorInfo): number {
  return end - begin;
}
