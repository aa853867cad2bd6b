import { type Checkpoint, openCheckpoint } from "./checkpoint/checkpoint.ts";
import { resolveModel } from "./checkpoint/hub.ts";
import { type CalibrationOptions, type CalibrationSource, loadCalibrationData } from "./data/calibration.ts";
import { loadTokenizer } from "./data/tokenizer.ts";
import { RecipeError } from "./errors.ts";
import { bindCheckpoint } from "./formats/bind-checkpoint.ts";
import { CompressedOutput } from "./formats/compressed-output.ts";
import { type Precision, savedDType } from "./formats/output-plan.ts";
import { KernelPool } from "./kernels/pool.ts";
import type { CausalLM } from "./models/causal-lm.ts";
import { createModel } from "./models/registry.ts";
import type { Modifier } from "./modifiers/modifier.ts";
import { createModifiers, type RecipeSource } from "./recipe/modifiers.ts";
import { writeRecipe } from "./recipe/write.ts";
import type { Device } from "./runtime/session.ts";
import { compressWithoutData } from "./sequential/data-free.ts";
import { dispatchForSequential } from "./sequential/dispatch.ts";
import type { RunControl } from "./sequential/events.ts";
import { packBatches } from "./sequential/pack-batches.ts";
import { compressInOrder } from "./sequential/pipeline.ts";
import { selfCheck } from "./sequential/self-check.ts";
import type { CompressedModules } from "./sequential/stage.ts";
import { getSequentialTargets } from "./sequential/targets.ts";
import { traceSubgraphs } from "./sequential/trace-subgraphs.ts";

/** Arguments of {@link oneshot}; names and meanings as in llm-compressor's entry point of that name. */
export interface OneshotOptions extends RunControl, CalibrationOptions {
  /** A folder with config.json, safetensors and tokenizer files, or a Hub id. */
  readonly model: string;
  /** A recipe's file or text, or modifiers. */
  readonly recipe: RecipeSource;
  /** Calibration data: a file, or rows. Needed if a modifier of the recipe needs any. */
  readonly dataset?: CalibrationSource;
  /** The folder that the compressed checkpoint appears in. */
  readonly output: string;
  readonly overwrite?: boolean;
  /** Bytes of one file of weights; larger ones are split. */
  readonly maxShardSize?: number;
  readonly precision?: Precision;
  /** Patterns of the modules that are compressed together; by default the model's decoder layers. */
  readonly sequentialTargets?: readonly string[] | string | null;
  readonly sequentialTargetsPerSubgraph?: number;
  /** Names of functions that a trace does not enter. */
  readonly tracingIgnore?: readonly string[];
  readonly propagateError?: boolean;
  /** Whether the subgraphs are compared with the whole model on a sample first; true by default. */
  readonly selfCheck?: boolean;
  readonly device?: Device;
  readonly threads?: number;
}

/**
 * Compresses a checkpoint: traces the model into subgraphs, calibrates and compresses one at a time, writes each as soon as
 * it is done. The output folder appears whole or not at all.
 *
 * @throws LayerwiseError for anything that does not fit, most of it before any work is done
 * @example
 * await oneshot({ model: "SmolLM2-135M", recipe: "gptq.yaml", dataset: "texts.jsonl", output: "SmolLM2-135M-W4A16" });
 */
export async function oneshot(options: OneshotOptions): Promise<void> {
  const checkpoint = await openCheckpoint(await resolveModel(options.model)); // headers; a tensor is read when asked for
  const kernels = await KernelPool.create({ threads: options.threads });
  try {
    const model = createModel(checkpoint.config, { where: `${checkpoint.folder}/config.json` }); // names and shapes, no weights
    bindCheckpoint(model, checkpoint);
    const modifiers = await createModifiers(options.recipe);
    const context = { warn: (message: string) => options.onProgress?.({ type: "warning", message }) };
    for (const modifier of modifiers) modifier.initialize(model, context);
    const compressed = await compress(model, checkpoint, modifiers, kernels, options);
    await save(compressed, model, checkpoint, modifiers, options);
    for (const modifier of modifiers) modifier.finalize?.(context);
  } finally {
    await Promise.all([kernels.close(), checkpoint.close()]);
  }
}

/** Everything up to the first subgraph; what it returns compresses them one after another. */
async function compress(
  model: CausalLM,
  checkpoint: Checkpoint,
  modifiers: readonly Modifier[],
  kernels: KernelPool,
  options: OneshotOptions,
): Promise<AsyncIterable<CompressedModules>> {
  const { precision = "auto", propagateError } = options;
  const stage = { modifiers, kernels, savedDType: ({ weight }: { weight: Parameter }) => savedDType(weight, precision), control: options };
  const needsData = modifiers.find((modifier) => modifier.requiresCalibrationData);
  if (!needsData) return compressWithoutData(model, stage);
  const batches = await calibrationBatches(needsData, checkpoint, options);
  const targets = getSequentialTargets(modifiers, model, options);
  const subgraphs = traceSubgraphs(model, batches[0], targets, options.tracingIgnore, {
    targetsPerSubgraph: options.sequentialTargetsPerSubgraph,
  });
  const dispatched = await dispatchForSequential(model, { device: options.device ?? "cpu", threads: options.threads });
  if (options.selfCheck ?? true) await selfCheck(subgraphs, dispatched, batches[0]);
  return compressInOrder(subgraphs, dispatched, batches, { ...stage, propagateError });
}
