import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { timeLimited } from "../checkpoint/time-limit.ts";
import { Attend, attendOf } from "../nn/attend.ts";
import { bestMatch } from "../nn/best-match.ts";
import { Linear } from "../nn/linear.ts";
import { matchesAny } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import type { TransformGroup } from "../nn/online-transform.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";
import type { QuantizationScheme } from "../schemes/scheme.ts";
import { readQuantizationConfig } from "./quantization-config.ts";
import type { SparseFormatName } from "./sparse.ts";

/** What a checkpoint's `quantization_config` says of a model. */
interface CheckpointQuantization extends ModelQuantization {
  /** How pruned weights are stored; null for dense. */
  readonly sparsity: SparseFormatName | null;
  /** What rotates weights, and inputs or outputs along with them. */
  readonly transforms: readonly TransformGroup[];
}

/** What is quantized in a model, and how, by the `quantization_config` of a checkpoint. */
export function checkpointQuantization(model: Module, checkpoint: Checkpoint): CheckpointQuantization {
  if (checkpoint.config.quantization_config === undefined)
    return { schemes: new Map(), kvCacheScheme: null, sparsity: null, transforms: [] };
  const where = checkpoint.pathOf("config.json");
  return timeLimited(matchSchemes, `${where}: the patterns in quantization_config`)(model, checkpoint);
}

/** Patterns that a checkpoint brings may backtrack without end. */
function matchSchemes(model: Module, checkpoint: Checkpoint): CheckpointQuantization {
  const schemes = new Map<Module, QuantizationScheme>();
  const { groups, ignore, kvCacheScheme, sparsity, transforms } = readQuantizationConfig(
    checkpoint.config.quantization_config,
  );
  for (const [path, module] of model.namedModules()) {
    const scheme = bestMatch(path, module, groups);
    if (!scheme || matchesAny(ignore, path, module)) continue;
    const target = module instanceof Linear ? module : attendOf(module);
    if (target && (module instanceof Linear || !scheme.weights)) schemes.set(target, scheme);
  }
  return { schemes, kvCacheScheme, sparsity, transforms };
}

/** Names of all tensors of a checkpoint that belong to quantized modules, other than biases. */
export function compressedTensorNames(model: Module, checkpoint: Checkpoint): string[] {
  const { schemes, kvCacheScheme, sparsity } = checkpointQuantization(model, checkpoint);
  const owners = new Set<string>();
  for (const [path, module] of model.namedModules()) {
    const isSparse = sparsity !== null && module instanceof Linear;
    if (schemes.has(module) || isSparse || (kvCacheScheme && module instanceof Attend))
      owners.add(ownerOf(model, path, module).path);
  }
  return [...checkpoint.tensors.keys()].filter((name) => {
    const field = /\.(?:weight|input|output|[qkv])(?:[._][a-z_]+)?$|\.(?:compressed|bitmask|shape)$/.exec(name);
    return field !== null && owners.has(name.slice(0, field.index));
  });
}

/** The module under whose name a checkpoint has a module's tensors: for {@link Attend} the attention that it is a part of. */
export function ownerOf(model: Module, path: string, module: Module): { path: string; module: Module } {
  if (!(module instanceof Attend)) return { path, module };
  const parent = path.slice(0, path.lastIndexOf("."));
  const found = model.namedModules().find(([name]) => name === parent);
  return { path: parent, module: found?.[1] ?? model };
}
