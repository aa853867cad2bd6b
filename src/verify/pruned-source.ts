import { join } from "node:path";
import { LayerwiseError } from "../errors.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { createModel } from "../models/registry.ts";
import { bindRetained, expertBlocks } from "../modifiers/pruning/retained-experts.ts";
import { createModifiers } from "../recipe/modifiers.ts";
import { shrinkModel } from "../sequential/shrink-model.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Source } from "./check-checkpoint.ts";
import { RECIPE_FILE } from "./check-recipe.ts";
import type { StoredModel } from "./stored-model.ts";

/**
 * The source of a checkpoint whose recipe leaves experts out, without these: what the checkpoint is to be compared with. Which
 * ones stayed is told by their rows of the routers, each of which is nearest to its own in the source. Any other source is given
 * back as it is.
 */
export async function withoutPrunedExperts({ checkpoint, model }: StoredModel, source: Source): Promise<Source> {
  const config = await prunedConfig(checkpoint.folder, await checkpoint.listFiles(), source);
  if (!config) return source;
  const small = createModel(config);
  const retained = new Map<string, readonly number[]>();
  const gates = new Map(expertBlocks(source.model).map(([path, { gate }]) => [path, gate]));
  for (const [path, { gate }] of expertBlocks(model)) {
    const before = gates.get(path);
    const isThere = gate.weight.source && checkpoint.tensors.has(gate.weight.source.name);
    if (!before || !isThere || gate.config.experts > before.config.experts) return source;
    retained.set(path, nearestRows(await gate.weight.load(), await before.weight.load()));
  }
  bindRetained(small, source.model, (block) => retained.get(block) ?? []);
  return { checkpoint: source.checkpoint, model: small, config };
}

/** What the recipe beside a checkpoint makes of its source's config.json; undefined where it makes no smaller model. */
async function prunedConfig(folder: string, files: readonly string[], { checkpoint, model }: Source) {
  if (!files.includes(RECIPE_FILE)) return undefined;
  try {
    const shrinking = createModifiers(join(folder, RECIPE_FILE)).filter(({ shrink }) => shrink);
    if (shrinking.length === 0) return undefined;
    const create = (change: (config: typeof checkpoint.config) => typeof checkpoint.config): CausalLM =>
      createModel(change(checkpoint.config));
    return shrinkModel(model, shrinking, create, { warn: () => undefined }).changeConfig(checkpoint.config);
  } catch (error) {
    if (error instanceof LayerwiseError) return undefined; // which is told where the recipe is compared
    throw error;
  }
}

/** For each row of a matrix the place of the row of another that is nearest to it. */
function nearestRows(found: Tensor<"F32">, rows: Tensor<"F32">): number[] {
  const row = ({ data, shape }: Tensor<"F32">, index: number) =>
    data.subarray(index * shape[1], (index + 1) * shape[1]);
  return Array.from({ length: found.shape[0] }, (_, index) => {
    const own = row(found, index);
    const distances = Array.from({ length: rows.shape[0] }, (_, other) => distance(own, row(rows, other)));
    return distances.indexOf(Math.min(...distances));
  });
}

function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + (value - b[index]) ** 2, 0);
}
