import { openCheckpoint } from "../checkpoint/checkpoint.ts";
import { resolveModel } from "../checkpoint/hub.ts";
import { planFiles, type TensorSpec } from "../checkpoint/layout.ts";
import { printIndex } from "../checkpoint/shard-index.ts";
import { planOutput } from "../formats/output-plan.ts";
import { KernelPool } from "../kernels/pool.ts";
import { mergeQuantization } from "../modifiers/initialize.ts";
import type { OneshotOptions } from "../oneshot-options.ts";
import { prepare } from "../preparation.ts";
import { createMatrixProducts } from "../runtime/matrix-products.ts";
import { Runtime } from "../runtime/runtime.ts";
import { defaultMemoryBudget } from "../sequential/intermediates.ts";
import { packBatches } from "../sequential/pack-batches.ts";
import { threadsForModel } from "../sequential/threads-for-model.ts";
import { traceForRun } from "../sequential/trace-for-run.ts";
import { measureRates } from "./measure-rates.ts";
import { type Memory, predictMemory } from "./memory.ts";
import { predictSeconds, type Seconds } from "./seconds.ts";
import { planSteps, planStepsWithoutData } from "./steps.ts";

/** Arguments of {@link estimate}: those of the run that is to be predicted. */
export type EstimateOptions = Omit<OneshotOptions, "output" | "overwrite" | "resume">;

/** What a run is going to take. */
export interface Estimate {
  /** How many the model is cut into. */
  readonly subgraphs: number;
  /** Calibration tokens, padding included. */
  readonly tokens: number;
  /** Multiply-adds of all matrix products of the model: calibration and propagation. */
  readonly multiplyAdds: number;
  /** Seconds, by what they are spent on. */
  readonly seconds: Seconds & { readonly preparation: number };
  /** Bytes of resident memory at the most. */
  readonly peakBytes: Memory;
  /** Bytes of the weights that are written, headers and index included: exactly these. */
  readonly outputBytes: number;
}

/**
 * Predicts what `oneshot` with the same options takes: traces, counts and measures this machine, but reads no weight.
 *
 * @throws LayerwiseError as `oneshot` does, for what does not fit
 * @example
 * const { outputBytes } = await estimate({ model: "SmolLM2-135M", recipe: "gptq.yaml", dataset: "texts.jsonl" });
 */
export async function estimate(options: EstimateOptions): Promise<Estimate> {
  const start = performance.now();
  const checkpoint = await openCheckpoint(await resolveModel(options.model));
  const kernels = await KernelPool.create(createMatrixProducts(options), options);
  try {
    if ((options.workers ?? 1) > 1) {
      const message = "what is predicted is a run in one process, without workers.";
      options.onProgress?.({ type: "warning", message });
    }
    const { model, modifiers, data, original } = await prepare(checkpoint, { ...options, selfCheck: false });
    const { tensors } = planOutput(model, checkpoint, mergeQuantization(modifiers), options.precision, original);
    const outputBytes = countBytes(tensors, options.maxShardSize);
    const batches = data && packBatches(data.batches);
    const subgraphs = batches && traceForRun(model, modifiers, batches[0], options);
    const steps = subgraphs ? planSteps({ subgraphs, modifiers, batches }) : planStepsWithoutData(model, modifiers);
    const preparation = (performance.now() - start) / 1000;
    const fixed = process.memoryUsage.rss();
    const threads = batches ? threadsForModel(model, batches, options.threads) : options.threads;
    const runtime = await Runtime.create({ threads });
    const rates = await measureRates(checkpoint, runtime, kernels);
    return {
      subgraphs: steps.length,
      tokens: (data?.batches ?? []).reduce((sum, { input_ids }) => sum + input_ids.data.length, 0),
      multiplyAdds: steps.reduce((sum, { runs }) => sum + runs.multiplyAdds, 0),
      seconds: { preparation, ...predictSeconds(steps, outputBytes, rates) },
      peakBytes: predictMemory(steps, { fixed, memoryBudget: options.memoryBudget ?? defaultMemoryBudget() }),
      outputBytes,
    };
  } finally {
    await Promise.all([kernels.close(), checkpoint.close()]);
  }
}

/** Bytes of the files that hold these tensors, and of the index where there are several. */
function countBytes(tensors: readonly TensorSpec[], maxShardSize: number | undefined): number {
  const files = planFiles(tensors, maxShardSize);
  const index = files.length > 1 ? Buffer.byteLength(printIndex(files, tensors)) : 0;
  return files.reduce((sum, { size }) => sum + size, index);
}
