import type { Value } from "../runtime/executable.ts";
import type { DispatchedModel } from "./dispatch.ts";
import type { RunControl } from "./events.ts";
import { type Batch, IntermediatesCache, type IntermediatesOptions } from "./intermediates.ts";
import type { Subgraph } from "./subgraph.ts";

/**
 * Runs all batches through the subgraphs, one subgraph after another, with the weights of one in memory.
 *
 * @returns what the last subgraph returns, batch by batch
 * @example
 * const dispatched = await dispatchForSequential(model);
 * const subgraphs = traceSubgraphs(model, batches[0], model.noSplitModules);
 * for await (const { logits } of runInOrder(subgraphs, dispatched, batches)) console.log(logits);
 */
export async function* runInOrder(
  subgraphs: readonly Subgraph[],
  dispatched: DispatchedModel,
  batches: readonly Batch[],
  { onProgress, signal, memoryBudget }: RunControl & IntermediatesOptions = {},
): AsyncGenerator<Record<string, Value>> {
  const cache = new IntermediatesCache(batches, { memoryBudget });
  try {
    for (const [index, subgraph] of subgraphs.entries()) {
      onProgress?.({ type: "phase", phase: "evaluating", subgraph: index, subgraphs: subgraphs.length });
      for (const batch of batches.keys()) {
        signal?.throwIfAborted();
        const outputs = await subgraph.forward(dispatched, await cache.fetch(batch, subgraph.inputNames));
        cache.delete(batch, subgraph.consumedNames);
        if (index === subgraphs.length - 1) yield outputs;
        else await cache.update(batch, outputs);
        onProgress?.({ type: "batch", batch, batches: batches.length });
      }
      await dispatched.weights.releaseAll();
    }
  } finally {
    await cache.close();
  }
}
