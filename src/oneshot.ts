import { type Checkpoint, openCheckpoint } from "./checkpoint/checkpoint.ts";
import { resolveModel } from "./checkpoint/hub.ts";
import { identifyCheckpoint } from "./checkpoint/identity.ts";
import { checkPlaces, exportBeside } from "./export/beside-output.ts";
import type { CompressedModules } from "./formats/compressed-modules.ts";
import { CompressedOutput } from "./formats/compressed-output.ts";
import { savedDType } from "./formats/output-plan.ts";
import { KernelPool } from "./kernels/pool.ts";
import type { CausalLM } from "./models/causal-lm.ts";
import { mergeQuantization } from "./modifiers/initialize.ts";
import type { Parameter } from "./nn/parameter.ts";
import { DECIDES_OUTPUT, type OneshotOptions } from "./oneshot-options.ts";
import { decisiveOptions, fingerprintOptions } from "./output/fingerprint.ts";
import { type Preparation, prepare } from "./preparation.ts";
import { timeStep } from "./profile/profiler.ts";
import { describeRun } from "./recipe/provenance.ts";
import { writeRecipe } from "./recipe/write.ts";
import { createMatrixProducts } from "./runtime/matrix-products.ts";
import { compressWithoutData } from "./sequential/data-free.ts";
import { dispatchForSequential } from "./sequential/dispatch.ts";
import { tellFinished } from "./sequential/events.ts";
import { type Batch, defaultMemoryBudget } from "./sequential/intermediates.ts";
import { packBatches } from "./sequential/pack-batches.ts";
import { compressInOrder, type PipelineOptions } from "./sequential/pipeline.ts";
import { profileRun } from "./sequential/profile-run.ts";
import { selfCheck } from "./sequential/self-check.ts";
import { allModifiers } from "./sequential/shrink-model.ts";
import { threadsForModel } from "./sequential/threads-for-model.ts";
import { traceForRun } from "./sequential/trace-for-run.ts";
import { verifyOutput } from "./verify/verify-output.ts";
import { version } from "./version.ts";
import { startWorkers } from "./workers/start-workers.ts";

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
  try {
    const preparation = await prepare(checkpoint, options);
    const output = await openOutput(checkpoint, preparation, options);
    try {
      for await (const modules of compressModel(preparation, output, { folder: checkpoint.folder, kernels }, options)) {
        await timeStep(profiler, "write", () => output.write(modules)); // then its memory is free
        options.signal?.throwIfAborted();
      }
      await timeStep(profiler, "finish", () => finish(output, checkpoint, preparation, options));
    } catch (error) {
      throw await output.abandon(error);
    }
    finalize(preparation, output, options);
  } finally {
    await Promise.all([kernels.close(), checkpoint.close()]);
  }
  if (options.format) await timeStep(profiler, "export", () => exportBeside(options));
}

/** What is to be saved, part by part, once the modifiers that make the model smaller have seen all of it. */
async function* compressModel(
  { model, modifiers, shrinking, data }: Preparation,
  { finished }: CompressedOutput,
  place: { readonly folder: string; readonly kernels: KernelPool },
  options: OneshotOptions,
): AsyncGenerator<CompressedModules> {
  const batches = data && packBatches(data.batches);
  for (const { whole, modifier } of shrinking) {
    const byLayers = { ...options, onePass: false };
    const shrunk = await compress(whole, batches, { ...place, modifiers: [modifier] }, byLayers);
    for await (const _ of shrunk); // what it yields is the model as it is
  }
  yield* await compress(model, batches, { ...place, modifiers, finished }, options);
}

/** Lets every modifier say what it has to, now that all is written. */
function finalize(
  { modifiers, shrinking }: Preparation,
  { finished }: CompressedOutput,
  options: OneshotOptions,
): void {
  const warn = (message: string) => options.onProgress?.({ type: "warning", message });
  for (const { modifier } of shrinking) modifier.finalize?.({ warn, reports: [] });
  for (const [index, modifier] of modifiers.entries()) modifier.finalize?.({ warn, reports: finished.reports(index) });
}

/** Writes what goes along with the weights, and lets the output appear if nothing is wrong with it. */
async function finish(
  output: CompressedOutput,
  checkpoint: Checkpoint,
  preparation: Preparation,
  options: OneshotOptions,
): Promise<void> {
  const { model, modifiers, data } = preparation;
  const { verify = true, profiler, signal } = options;
  const given = decisiveOptions(options, DECIDES_OUTPUT);
  const recipe = writeRecipe(
    allModifiers(preparation),
    describeRun({ ...options, folder: checkpoint.folder, data, options: given }),
  );
  const source = { checkpoint, model, config: preparation.changeConfig(checkpoint.config) };
  const reports = modifiers.flatMap((_, index) => output.finished.reports(index));
  const written = { source, quantization: mergeQuantization(modifiers), reports, signal };
  const check = (folder: string) => timeStep(profiler, "verify", () => verifyOutput(folder, written));
  await output.finish(recipe, verify ? check : undefined);
}

/** Begins the output, or goes on with that of a stopped run. */
async function openOutput(
  checkpoint: Checkpoint,
  preparation: Preparation,
  { output: folder, precision, maxShardSize, overwrite, resume, onProgress, ...options }: OneshotOptions,
): Promise<CompressedOutput> {
  const { model, modifiers, data, original, changeConfig } = preparation;
  const quantization = mergeQuantization(modifiers);
  const fingerprint = {
    "version of layerwise": version,
    model: await identifyCheckpoint(checkpoint),
    recipe: writeRecipe(allModifiers(preparation)),
    "calibration data": data?.digest ?? "none",
    ...fingerprintOptions({ output: folder, precision, maxShardSize, ...options }, DECIDES_OUTPUT),
  };
  const onWarning = (message: string) => onProgress?.({ type: "warning", message });
  const place = { folder, overwrite, source: options.model, resume, fingerprint };
  const parts = { model, original, changeConfig, checkpoint, quantization, precision, maxShardSize };
  return CompressedOutput.open({ ...place, ...parts, profiler: options.profiler, onWarning });
}

/** All that comes before the first subgraph. What it returns compresses them, one after another, as they are asked for. */
async function compress(
  model: CausalLM,
  batches: readonly Batch[] | undefined,
  { folder, finished, ...parts }: Pick<PipelineOptions, "modifiers" | "kernels" | "finished"> & { folder: string },
  options: OneshotOptions,
): Promise<AsyncIterable<CompressedModules>> {
  const { precision = "auto", propagateError, device = "cpu", profiler, onProgress } = options;
  const stage = { ...parts, savedDType: (parameter: Parameter) => savedDType(parameter, precision), control: options };
  if (finished) tellFinished(finished, parts.modifiers.length, options);
  if (!batches) return compressWithoutData(model, stage, finished?.count);
  const subgraphs = await timeStep(profiler, "trace", () => traceForRun(model, parts.modifiers, batches[0], options));
  const onWarning = (message: string) => onProgress?.({ type: "warning", message });
  const threads = threadsForModel(model, batches, options.threads);
  const dispatched = await dispatchForSequential(model, { device, threads, profiler, onWarning });
  const isChecked = (finished?.count ?? 0) > 0; // by the run that this one goes on with
  if (!isChecked && (options.selfCheck ?? true))
    await timeStep(profiler, "self-check", () => selfCheck(subgraphs, dispatched, batches[0]));
  const { memoryBudget = defaultMemoryBudget(), workers = 1 } = options;
  const shared = { ...options, folder, workers, modifiers: parts.modifiers, memoryBudget, onWarning };
  const executor = workers > 1 ? await startWorkers(batches, dispatched, shared) : undefined;
  return compressInOrder(subgraphs, dispatched, batches, {
    ...stage,
    propagateError,
    finished,
    memoryBudget,
    executor,
  });
}
