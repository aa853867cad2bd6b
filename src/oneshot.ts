import { type Checkpoint, openCheckpoint } from "./checkpoint/checkpoint.ts";
import { resolveModel } from "./checkpoint/hub.ts";
import { identifyCheckpoint } from "./checkpoint/identity.ts";
import {
  type CalibrationData,
  type CalibrationOptions,
  type CalibrationSource,
  loadCalibrationData,
} from "./data/calibration.ts";
import { loadTokenizer } from "./data/tokenizer.ts";
import { RecipeError } from "./errors.ts";
import { checkExports, checkPlaces, exportBeside } from "./export/beside-output.ts";
import type { ExportRequest } from "./export/registry.ts";
import { bindCheckpoint } from "./formats/bind-checkpoint.ts";
import type { CompressedModules } from "./formats/compressed-modules.ts";
import { CompressedOutput } from "./formats/compressed-output.ts";
import type { FinishedParts } from "./formats/finished-parts.ts";
import { type Precision, savedDType } from "./formats/output-plan.ts";
import { KernelPool } from "./kernels/pool.ts";
import type { CausalLM } from "./models/causal-lm.ts";
import { createModel } from "./models/registry.ts";
import { initializeModifiers } from "./modifiers/initialize.ts";
import type { Modifier } from "./modifiers/modifier.ts";
import { calibrateAllExperts } from "./nn/experts.ts";
import type { Parameter } from "./nn/parameter.ts";
import { fingerprintOptions } from "./output/fingerprint.ts";
import { timeStep } from "./profile/profiler.ts";
import { createModifiers, type RecipeSource } from "./recipe/modifiers.ts";
import type { Variables } from "./recipe/variables.ts";
import { writeRecipe } from "./recipe/write.ts";
import { createMatrixProducts } from "./runtime/matrix-products.ts";
import type { ModelQuantization } from "./schemes/quantized-values.ts";
import { compressWithoutData } from "./sequential/data-free.ts";
import { type DispatchOptions, dispatchForSequential } from "./sequential/dispatch.ts";
import { type RunControl, tellFinished } from "./sequential/events.ts";
import { type Batch, defaultMemoryBudget, type IntermediatesOptions } from "./sequential/intermediates.ts";
import { packBatches } from "./sequential/pack-batches.ts";
import { compressInOrder, type PipelineOptions } from "./sequential/pipeline.ts";
import { profileReads, profileRun } from "./sequential/profile-run.ts";
import { rewriteModel } from "./sequential/rewrite-model.ts";
import { selfCheck } from "./sequential/self-check.ts";
import type { Subgraph } from "./sequential/subgraph.ts";
import { getSequentialTargets, type TargetArguments } from "./sequential/targets.ts";
import { threadsForModel } from "./sequential/threads-for-model.ts";
import { traceSubgraphs } from "./sequential/trace-subgraphs.ts";
import { version } from "./version.ts";

/**
 * Arguments of {@link oneshot}; names and meanings as in llm-compressor's entry point of that name. To what is named in `format`
 * beside `compressed-tensors` the output is exported once it is finished, into a folder beside it: `<output>-gguf`.
 */
export interface OneshotOptions
  extends RunControl,
    TargetArguments,
    CalibrationOptions,
    IntermediatesOptions,
    Partial<ExportRequest>,
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
  /** Goes on where an earlier run with the same arguments was stopped or killed; begins anew if there is none. False. */
  readonly resume?: boolean;
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
 * Which options decide what is written: a run goes on with another only if they are the same. Model, recipe and data have
 * digests of their own; the rest decides how the output is made, or what is told meanwhile.
 */
const DECIDES_OUTPUT: Readonly<Record<keyof OneshotOptions, boolean>> = {
  model: false,
  recipe: false,
  recipeArgs: false,
  stage: false,
  dataset: false,
  tokenizer: false,
  output: false,
  format: false,
  dtype: false,
  embeddingDtype: false,
  overwrite: false,
  resume: false,
  threads: false,
  selfCheck: false,
  onProgress: false,
  signal: false,
  profiler: false,
  memoryBudget: false,
  device: true,
  precision: true,
  maxShardSize: true,
  onePass: true,
  sequentialTargets: true,
  sequentialTargetsPerSubgraph: true,
  tracingIgnore: true,
  moeCalibrateAllExperts: true,
  propagateError: true,
  textColumn: true,
  maxSeqLength: true,
  addSpecialTokens: true,
  padToMaxLength: true,
  concatenateData: true,
  numCalibrationSamples: true,
  shuffleCalibrationSamples: true,
  seed: true,
  batchSize: true,
  dataCollator: true,
};

/**
 * Compresses a checkpoint: traces the model into subgraphs, calibrates and compresses one at a time, and writes each as soon
 * as it is done. The output folder appears whole or not at all; a run that was stopped or killed goes on with `resume`, and
 * ends with the same bytes as one that was left alone.
 *
 * @throws LayerwiseError for anything that does not fit, most of it before any work is done
 * @throws InterruptedError if something is finished by the time that it fails or that `signal` is aborted, with the failure or
 * the signal's reason as its cause; else that itself
 * @example
 * await oneshot({ model: "SmolLM2-135M", recipe: "gptq.yaml", dataset: "texts.jsonl", output: "SmolLM2-135M-W4A16" });
 */
export async function oneshot(options: OneshotOptions): Promise<void> {
  return profileRun(options, compressCheckpoint);
}

async function compressCheckpoint(options: OneshotOptions): Promise<void> {
  const { profiler } = options;
  await checkPlaces(options);
  const checkpoint = await openCheckpoint(await resolveModel(options.model)); // headers; a tensor is read when asked for
  const kernels = await KernelPool.create(createMatrixProducts(options), options);
  const warn = (message: string) => options.onProgress?.({ type: "warning", message });
  try {
    const { model, modifiers, data } = await prepare(checkpoint, options);
    const output = await openOutput(model, checkpoint, modifiers, data, options);
    try {
      const batches = data && packBatches(data.batches);
      const compressed = await compress(model, batches, { modifiers, kernels, finished: output.finished }, options);
      for await (const modules of compressed) {
        await timeStep(profiler, "write", () => output.write(modules));
        options.signal?.throwIfAborted();
      }
      await timeStep(profiler, "finish", () => output.finish(writeRecipe(modifiers)));
    } catch (error) {
      throw await output.abandon(error);
    }
    for (const [index, modifier] of modifiers.entries())
      modifier.finalize?.({ warn, reports: output.finished.reports(index) });
  } finally {
    await Promise.all([kernels.close(), checkpoint.close()]);
  }
  await timeStep(profiler, "export", () => exportBeside(options));
}

/** What is known of a run before it begins. */
export interface Preparation {
  /** Bound to the checkpoint; names and shapes, no weights. */
  readonly model: CausalLM;
  /** Initialised. */
  readonly modifiers: readonly Modifier[];
  /** Undefined if no modifier needs any. */
  readonly data?: CalibrationData;
}

/** Resolves and checks all that a run works with. */
export async function prepare(checkpoint: Checkpoint, options: Omit<OneshotOptions, "output">): Promise<Preparation> {
  const warn = (message: string) => options.onProgress?.({ type: "warning", message });
  const model = createModel(checkpoint.config, { where: checkpoint.pathOf("config.json") });
  bindCheckpoint(model, checkpoint);
  profileReads(model, options.profiler);
  if (options.moeCalibrateAllExperts) calibrateAllExperts(model);
  const modifiers = createModifiers(options.recipe, { variables: options.recipeArgs, stage: options.stage });
  initializeModifiers(modifiers, model, { warn });
  await checkExports({ checkpoint, model, quantization: mergeQuantization(modifiers) }, options);
  await rewriteModel(model, modifiers, { ...options, check: options.selfCheck, device: options.device ?? "cpu" });
  const data = await timeStep(options.profiler, "tokenize", () => calibrationData(modifiers, checkpoint, options));
  return { model, modifiers, data };
}

/** The subgraphs that a run with these options goes through. */
export function traceForRun(
  model: CausalLM,
  modifiers: readonly Modifier[],
  sample: Batch,
  options: Omit<OneshotOptions, "output">,
): Subgraph[] {
  const targets = options.onePass ? ["Linear"] : getSequentialTargets(modifiers, model, options);
  const partition = { targetsPerSubgraph: options.sequentialTargetsPerSubgraph, shareInputs: options.onePass };
  return traceSubgraphs(model, sample, targets, options.tracingIgnore, partition);
}

/** Batches for the modifiers that need any; undefined if none does. */
async function calibrationData(
  modifiers: readonly Modifier[],
  checkpoint: Checkpoint,
  { dataset, ...options }: Omit<OneshotOptions, "output">,
): Promise<CalibrationData | undefined> {
  const needsData = modifiers.find(({ requiresCalibrationData }) => requiresCalibrationData);
  if (!needsData) return undefined;
  if (dataset === undefined) {
    throw new RecipeError(
      `${needsData.name}: no calibration data, expected a dataset. Pass one, or use a recipe that needs none.`,
    );
  }
  const hasTokenizer = (await checkpoint.listFiles()).includes("tokenizer.json"); // token ids need none
  const tokenizer = options.tokenizer ?? (hasTokenizer ? await loadTokenizer(checkpoint.folder) : undefined);
  const data = await loadCalibrationData(dataset, { ...options, tokenizer });
  for (const message of data.warnings) options.onProgress?.({ type: "warning", message });
  return data;
}

/** Begins the output, or goes on with that of a stopped run. */
async function openOutput(
  model: CausalLM,
  checkpoint: Checkpoint,
  modifiers: readonly Modifier[],
  data: CalibrationData | undefined,
  { output: folder, precision, maxShardSize, overwrite, resume, onProgress, ...options }: OneshotOptions,
): Promise<CompressedOutput> {
  const quantization = mergeQuantization(modifiers);
  const fingerprint = {
    "version of layerwise": version,
    model: await identifyCheckpoint(checkpoint),
    recipe: writeRecipe(modifiers),
    "calibration data": data?.digest ?? "none",
    ...fingerprintOptions({ output: folder, precision, maxShardSize, ...options }, DECIDES_OUTPUT),
  };
  const onWarning = (message: string) => onProgress?.({ type: "warning", message });
  const place = { folder, overwrite, resume, fingerprint };
  const parts = { model, checkpoint, quantization, precision, maxShardSize };
  return CompressedOutput.open({ ...place, ...parts, profiler: options.profiler, onWarning });
}

/** All that comes before the first subgraph. What it returns compresses them, one after another, as they are asked for. */
async function compress(
  model: CausalLM,
  batches: readonly Batch[] | undefined,
  { finished, ...parts }: Pick<PipelineOptions, "modifiers" | "kernels"> & { readonly finished: FinishedParts },
  options: OneshotOptions,
): Promise<AsyncIterable<CompressedModules>> {
  const { precision = "auto", propagateError, device = "cpu", profiler, onProgress } = options;
  const stage = { ...parts, savedDType: (parameter: Parameter) => savedDType(parameter, precision), control: options };
  tellFinished(finished, parts.modifiers.length, options);
  if (!batches) return compressWithoutData(model, stage, finished.count);
  const subgraphs = await timeStep(profiler, "trace", () => traceForRun(model, parts.modifiers, batches[0], options));
  const onWarning = (message: string) => onProgress?.({ type: "warning", message });
  const threads = threadsForModel(model, batches, options.threads);
  const dispatched = await dispatchForSequential(model, { device, threads, profiler, onWarning });
  const isChecked = finished.count > 0; // by the run that this one goes on with
  if (!isChecked && (options.selfCheck ?? true))
    await timeStep(profiler, "self-check", () => selfCheck(subgraphs, dispatched, batches[0]));
  const { memoryBudget = defaultMemoryBudget() } = options;
  return compressInOrder(subgraphs, dispatched, batches, { ...stage, propagateError, finished, memoryBudget });
}

/** What all modifiers together quantize: of a module that several have a scheme for, the last one's. */
export function mergeQuantization(modifiers: readonly Modifier[]): ModelQuantization {
  const all = modifiers.flatMap(({ quantization }) => quantization ?? []);
  return {
    schemes: new Map(all.flatMap(({ schemes }) => [...schemes])),
    kvCacheScheme: all.findLast(({ kvCacheScheme }) => kvCacheScheme)?.kvCacheScheme ?? null,
  };
}
