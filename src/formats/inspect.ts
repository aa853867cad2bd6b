import { openCheckpoint } from "../checkpoint/checkpoint.ts";
import { createModel } from "../models/registry.ts";
import { Linear } from "../nn/linear.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import { byteSize } from "../tensor/dtype.ts";
import { elementCount } from "../tensor/tensor.ts";
import { compressedModules } from "./bind-checkpoint.ts";
import { readQuantizationConfig } from "./quantization-config.ts";

/** One way of storing weights, and how much of the checkpoint is stored so. */
export interface StorageSummary {
  /** The format of compressed modules, "dense" for all other tensors. */
  readonly format: string;
  /** What the scheme says of the weights, such as "int4 symmetric, group 128"; null for dense tensors. */
  readonly weights: string | null;
  readonly modules: number;
  readonly parameters: number;
  readonly bytes: number;
}

/** What a checkpoint holds. */
export interface CheckpointSummary {
  readonly folder: string;
  readonly modelType: string;
  readonly storage: readonly StorageSummary[];
  /** Linear modules that are not quantized. */
  readonly ignored: readonly string[];
  readonly parameters: number;
  readonly bytes: number;
  /** Size of the same parameters at 16 bits, divided by `bytes`. */
  readonly ratio: number;
}

/** Reads the headers of a checkpoint and tells what is quantized, how, and how large it is. */
export async function inspectCheckpoint(folder: string): Promise<CheckpointSummary> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const model = createModel(checkpoint.config, { where: `${folder}/config.json` });
    const compressed = compressedModules(model, checkpoint);
    const owner = (tensor: string) => tensor.slice(0, tensor.lastIndexOf("."));
    const bySchemes = new Map<QuantizationScheme | null, { modules: Set<string>; parameters: number; bytes: number }>();
    for (const { name, dtype, shape } of checkpoint.tensors.values()) {
      const module = compressed.get(owner(name));
      const isDense = !module || name.endsWith(".bias");
      const key = isDense ? null : module.scheme;
      const summary = bySchemes.get(key) ?? { modules: new Set<string>(), parameters: 0, bytes: 0 };
      if (!isDense && !summary.modules.has(owner(name))) summary.parameters += elementCount(module.linear.weight.shape);
      if (isDense) summary.parameters += elementCount(shape);
      summary.modules.add(owner(name));
      summary.bytes += byteSize(dtype) * elementCount(shape);
      bySchemes.set(key, summary);
    }
    const storage = [...bySchemes].map(([scheme, { modules, parameters, bytes }]) => ({
      format: scheme?.format ?? "dense",
      weights: scheme && describeWeights(scheme),
      modules: modules.size,
      parameters,
      bytes,
    }));
    const linears = model.namedModules().filter(([, module]) => module instanceof Linear);
    const parameters = storage.reduce((sum, part) => sum + part.parameters, 0);
    const bytes = storage.reduce((sum, part) => sum + part.bytes, 0);
    return {
      folder,
      modelType: String(checkpoint.config.model_type),
      storage,
      ignored: linears.filter(([path]) => !compressed.has(path)).map(([path]) => path),
      parameters,
      bytes,
      ratio: (2 * parameters) / bytes,
    };
  } finally {
    await checkpoint.close();
  }
}
