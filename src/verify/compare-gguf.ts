import type { CausalLM } from "../models/causal-lm.ts";
import type { Batch } from "../sequential/intermediates.ts";
import { openBound } from "./bound-model.ts";
import { compareModels, type Finding } from "./compare-models.ts";
import type { ComparisonOptions } from "./compare-subgraphs.ts";
import { compareWeights, judgeWeights, type WeightFidelity } from "./compare-weights.ts";
import { storedKinds } from "./opened-gguf.ts";
import type { Problem } from "./problem.ts";

/** Compares the model that a GGUF file decodes to with the original one: weights, subgraphs on some batches, logits. */
export async function compareGguf(
  file: string,
  original: CausalLM,
  batches: readonly Batch[],
  options: ComparisonOptions,
): Promise<Finding> {
  const { checkpoint, model } = await openBound(file);
  try {
    return await compareModels({ model, kinds: storedKinds(checkpoint), original }, batches, options);
  } finally {
    await checkpoint.close();
  }
}

/** Compares weights alone: nothing is run. */
export async function compareGgufWeights(file: string, original: CausalLM, signal?: AbortSignal): Promise<Problem[]> {
  const { checkpoint, model } = await openBound(file);
  try {
    const weights: WeightFidelity[] = [];
    for await (const weight of compareWeights(model, storedKinds(checkpoint), original)) {
      signal?.throwIfAborted();
      weights.push(weight);
    }
    return judgeWeights(weights, () => undefined);
  } finally {
    await checkpoint.close();
  }
}
