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
import { initializeModifiers } from "./modifiers/initialize.ts";
import type { Modifier } from "./modifiers/modifier.ts";
import { calibrateAllExperts } from "./nn/experts.ts";
import type { Linear } from "./nn/linear.ts";
import type { Parameter } from "./nn/parameter.ts";
import { createModifiers, type RecipeSource } from "./recipe/modifiers.ts";
import type { Variables } from "./recipe/variables.ts";
import { writeRecipe } from "./recipe/write.ts";
import type { QuantizationScheme } from "./schemes/scheme.ts";
import { compressWithoutData } from "./sequential/data-free.ts";
import { type DispatchOptions, dispatchForSequential } from "./sequential/dispatch.ts";
import type { RunControl } from "./sequential/events.ts";
import { packBatches } from "./sequential/pack-batches.ts";
import { compressInOrder } from "./sequential/pipeline.ts";
import { selfCheck } from "./sequential/self-check.ts";
import type { CompressedModules } from "./sequential/stage.ts";
import { getSequentialTargets, type TargetArguments } from "./sequential/targets.ts";
import { traceSubgraphs } from "./sequential/trace-subgraphs.ts";

/** Arguments of {@link oneshot}; names and meanings as in llm-compressor's entry point of that name. */
export interface OneshotOptions
  extends RunControl,
    TargetArguments,
    CalibrationOptions,
    Omit<DispatchOptions, "onWarning"> {
  /** A folder with config.json, safetensors and tokenizer files, or a Hub id. */
  readonly model: string;
  /** A recipe's file or text, or modifiers. */
  readonly recipe: RecipeSource;
  /** Values for the recipe's variables, over those in its `args`. */
  readonly recipeArgs?: Variables;
  /** Takes only the recipe's stages whose names begin so. */
  readonly stage?: string;
  /** Calibration data: a file, or rows. Needed if a modifier of the recipe needs any. */
  readonly dataset?: CalibrationSource;
  /** The folder that the compressed checkpoint appears in. */
  readonly output: string;
  /** Replaces an output folder that exists. False. */
  readonly overwrite?: boolean;
  /** Bytes of one file of weights; more are split over several files. 20 GB. */
  readonly maxShardSize?: number;
  /** The dtype to save in: "auto", the default, keeps each tensor's own. */
  readonly precision?: Precision;
  /**
   * Cuts the model before every group of linears that read the same value, instead of by decoder layers: each group is
   * calibrated on what the compressed ones before it really give, and the model is run once instead of twice. False.
   */
  readonly onePass?: boolean;
  /** Sequential targets that are compressed together. 1. */
  readonly sequentialTargetsPerSubgraph?: number;
  /** Names of functions that the trace does not enter. */
  readonly tracingIgnore?: readonly string[];
  /** Whether experts are calibrated with all tokens, not only with those that are routed to them. False. */
  readonly moeCalibrateAllExperts?: boolean;
  /** Whether later subgraphs are calibrated on what the compressed ones before them give. True. */
  readonly propagateError?: boolean;
  /** Whether the subgraphs are first compared with the model as one graph, on one sample. True. */
  readonly selfCheck?: boolean;
}

/**
 * Compresses a checkpoint: traces the model into subgraphs, calibrates and compresses one at a time, and writes each as soon
 * as it is done. The output folder appears whole or not at all.
 *
 * @throws LayerwiseError for anything that does not fit, most of it before any work is done
 * @throws the signal's reason if `signal` is aborted
 * @example
 * await oneshot({ model: "SmolLM2-135M", recipe: "gptq.yaml", dataset: "texts.jsonl", output: "SmolLM2-135M-W4A16" });
 */
export async function oneshot(options: OneshotOptions): Promise<void> {
  const checkpoint = await openCheckpoint(await resolveModel(options.model)); // headers; a tensor is read when asked for
  const kernels = await KernelPool.create({ threads: options.threads });
  const context = { warn: (message: string) => options.onProgress?.({ type: "warning", message }) };
  try {
    const model = createModel(checkpoint.config, { where: checkpoint.pathOf("config.json") }); // names and shapes, no weights
    bindCheckpoint(model, checkpoint);
    if (options.moeCalibrateAllExperts) calibrateAllExperts(model);
    const modifiers = createModifiers(options.recipe, { variables: options.recipeArgs, stage: options.stage });
    initializeModifiers(modifiers, model, context);
    const compressed = await compress(model, checkpoint, modifiers, kernels, options);
    await save(compressed, model, checkpoint, modifiers, options);
    for (const modifier of modifiers) modifier.finalize?.(context);
  } finally {
    await Promise.all([kernels.close(), checkpoint.close()]);
  }
}

/** All that comes before the first subgraph. What it returns compresses them, one after another, as they are asked for. */
async function compress(
  model: CausalLM,
  checkpoint: Checkpoint,
  modifiers: readonly Modifier[],
  kernels: KernelPool,
  options: OneshotOptions,
): Promise<AsyncIterable<CompressedModules>> {
  const { precision = "auto", propagateError, device = "cpu", threads, tracingIgnore } = options;
  const dtypeOf = (parameter: Parameter) => savedDType(parameter, precision);
  const stage = { modifiers, kernels, savedDType: dtypeOf, control: options };
  const needsData = modifiers.find(({ requiresCalibrationData }) => requiresCalibrationData);
  if (!needsData) return compressWithoutData(model, stage);
  const batches = packBatches(await calibrationBatches(needsData, checkpoint, options));
  const targets = options.onePass ? ["Linear"] : getSequentialTargets(modifiers, model, options);
  const partition = { targetsPerSubgraph: options.sequentialTargetsPerSubgraph, shareInputs: options.onePass };
  const subgraphs = traceSubgraphs(model, batches[0], targets, tracingIgnore, partition);
  const onWarning = (message: string) => options.onProgress?.({ type: "warning", message });
  const dispatched = await dispatchForSequential(model, { device, threads, onWarning });
  if (options.selfCheck ?? true) await selfCheck(subgraphs, dispatched, batches[0]);
  return compressInOrder(subgraphs, dispatched, batches, { ...stage, propagateError });
}

async function calibrationBatches(
  needsData: Modifier,
  checkpoint: Checkpoint,
  { dataset, ...options }: OneshotOptions,
) {
  if (dataset === undefined) {
    throw new RecipeError(
      `${needsData.name}: no calibration data, expected a dataset. Pass one, or use a recipe that needs none.`,
    );
  }
  const hasTokenizer = (await checkpoint.listFiles()).includes("tokenizer.json"); // token ids need none
  const tokenizer = options.tokenizer ?? (hasTokenizer ? await loadTokenizer(checkpoint.folder) : undefined);
  const { batches, warnings } = await loadCalibrationData(dataset, { ...options, tokenizer });
  for (const message of warnings) options.onProgress?.({ type: "warning", message });
  return batches;
}

/** Writes each subgraph's modules, and in the end all that was not changed. Nothing is left behind by a failure. */
async function save(
  compressed: AsyncIterable<CompressedModules>,
  model: CausalLM,
  checkpoint: Checkpoint,
  modifiers: readonly Modifier[],
  { output: folder, precision, maxShardSize, overwrite }: OneshotOptions,
): Promise<void> {
  const schemes = new Map<Linear, QuantizationScheme>(modifiers.flatMap((modifier) => [...(modifier.schemes ?? [])]));
  const output = await CompressedOutput.open({
    folder,
    model,
    checkpoint,
    schemes,
    precision,
    maxShardSize,
    overwrite,
  });
  try {
    for await (const modules of compressed) await output.write(modules);
    await output.finish(writeRecipe(modifiers));
  } catch (error) {
    await output.abort();
    throw error;
  }
}
