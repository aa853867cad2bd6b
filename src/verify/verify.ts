import { resolveModel } from "../checkpoint/hub.ts";
import { LayerwiseError } from "../errors.ts";
import type { Device } from "../runtime/session.ts";
import type { RunControl } from "../sequential/events.ts";
import { type Batch, defaultMemoryBudget, type IntermediatesOptions } from "../sequential/intermediates.ts";
import { openBound } from "./bound-model.ts";
import { carriedWeights } from "./carried-weights.ts";
import { checkCheckpoint, type FileCheck, type Source } from "./check-checkpoint.ts";
import { checkGguf, findGgufFile } from "./check-gguf.ts";
import { checkOnnxFolder, isOnnxFolder } from "./check-onnx.ts";
import { compareGguf } from "./compare-gguf.ts";
import { compareModels, type Fidelity, type Finding } from "./compare-models.ts";
import { compareOnnxFolder } from "./compare-onnx.ts";
import { weightKinds } from "./compare-weights.ts";
import type { Problem } from "./problem.ts";
import { withoutPrunedExperts } from "./pruned-source.ts";
import { loadSamples, type SampleOptions } from "./samples.ts";
import { openStoredModel } from "./stored-model.ts";

/** Arguments of {@link verify}. */
export interface VerifyOptions extends RunControl, SampleOptions, IntermediatesOptions {
  /** The checkpoint: a folder or a Hub id; or a GGUF file, or a folder that has one. */
  readonly model: string;
  /** The model that it was compressed from, to compare it with; without it, the files are looked at by themselves. */
  readonly source?: string;
  /** Where the models are run to be compared. "cpu". */
  readonly device?: Device;
  /** Threads for one operator; by default one for each core. */
  readonly threads?: number;
}

/** What is wrong with a checkpoint, and how near it is to its source. */
export interface Verification extends FileCheck {
  /** Where the checkpoint lies. */
  readonly folder: string;
  /** Empty where all is well. */
  readonly problems: readonly Problem[];
  /** With a source that it can be compared with: one of a checkpoint, one for each file of an exported folder; else empty. */
  readonly comparisons: readonly Fidelity[];
}

/**
 * Reads a checkpoint back as vLLM or transformers would, and tells all that is wrong with it: tensors that are missing, too
 * many, or not as its quantization_config says; modules that its recipe asks for and that are not quantized; NaN; codes out of
 * range; bytes, and files, that are not what they were when it was written. With `source`, each weight, each subgraph on a few
 * samples, and the logits are compared with those of the original model: what is far out of line with its peers is a problem.
 * Memory stays that of one subgraph; of an exported folder, each file is also run as a whole, in ONNX Runtime.
 *
 * @throws LayerwiseError where the source or the samples cannot be read; what is wrong with the checkpoint is returned
 * @example
 * const { problems } = await verify({ model: "SmolLM2-135M-W4A16", source: "SmolLM2-135M" });
 */
export async function verify({ model, source, ...options }: VerifyOptions): Promise<Verification> {
  const folder = await resolveModel(model);
  if (await isOnnxFolder(folder)) return verifyExported(onnxFolder(folder, options), source, options);
  const file = await findGgufFile(folder);
  if (file !== undefined) return verifyExported(ggufFile(file, options), source, options);
  if (source === undefined) return report(folder, await checkCheckpoint(folder, options));
  const original = await openBound(await resolveModel(source));
  try {
    const same = await sameSize(folder, original);
    const files = await checkCheckpoint(folder, { source: same, signal: options.signal });
    const notes = [...files.notes];
    if (same !== original) notes.push("experts were left out: compared with the source without them");
    const compared = await compare(folder, same, options).catch((error) => {
      if (!(error instanceof LayerwiseError) || files.problems.length === 0) throw error;
      notes.push(`not compared with the source: ${error.message}`);
    });
    return report(folder, { ...files, notes }, compared ? [compared] : []);
  } finally {
    await original.checkpoint.close();
  }
}

/** What is looked at in an exported model by itself, and beside the checkpoint that it was exported from or that this was made of. */
interface ExportedModel {
  /** An ONNX folder or a GGUF file. */
  readonly path: string;
  check(original?: Source): Promise<FileCheck>;
  compare(original: Source, batches: readonly Batch[]): Promise<Finding[]>;
}

async function verifyExported(
  { path, check, compare }: ExportedModel,
  source: string | undefined,
  options: Place,
): Promise<Verification> {
  if (source === undefined) return report(path, await check());
  const original = await openBound(await resolveModel(source));
  try {
    const files = await check(original);
    if (files.problems.length > 0) return report(path, files);
    const batches = await loadSamples(original.checkpoint, original.model, options);
    return report(path, files, await compare(original, batches));
  } finally {
    await original.checkpoint.close();
  }
}

function onnxFolder(path: string, options: Place): ExportedModel {
  return {
    path,
    check: (original) => checkOnnxFolder(path, original ? carriedWeights(original) : new Set(), options.signal),
    compare: (original, batches) => compareOnnxFolder(path, original, batches, placeOf(options)),
  };
}

function ggufFile(path: string, options: Place): ExportedModel {
  return {
    path,
    check: (source) => checkGguf(path, { source, signal: options.signal }),
    compare: async ({ model }, batches) => [await compareGguf(path, model, batches, placeOf(options))],
  };
}

/** What the files tell, and then what the comparisons do. */
function report(folder: string, files: FileCheck, findings: readonly Finding[] = []): Verification {
  return {
    ...files,
    folder,
    notes: [...files.notes, ...findings.flatMap(({ notes }) => notes)],
    problems: [...files.problems, ...findings.flatMap(({ problems }) => problems)],
    comparisons: findings.flatMap(({ fidelity }) => fidelity ?? []),
  };
}

/** A source without the experts that a checkpoint is to be without; as it is where the checkpoint cannot be opened. */
async function sameSize(folder: string, original: Source): Promise<Source> {
  const stored = await openStoredModel(folder).catch((error) => {
    if (!(error instanceof LayerwiseError)) throw error;
  });
  try {
    return stored ? await withoutPrunedExperts(stored, original) : original;
  } finally {
    await stored?.checkpoint.close();
  }
}

async function compare(folder: string, original: Source, options: Place): Promise<Finding> {
  const { checkpoint, model } = await openBound(folder);
  try {
    const batches = await loadSamples(original.checkpoint, original.model, options);
    const pair = { model, kinds: weightKinds(model, checkpoint), original: original.model };
    return await compareModels(pair, batches, placeOf(options));
  } finally {
    await checkpoint.close();
  }
}

/** Where models are compared, and on what. */
type Place = Omit<VerifyOptions, "model" | "source">;

function placeOf({ device = "cpu", threads, memoryBudget = defaultMemoryBudget(), onProgress, signal }: Place) {
  return { device, threads, memoryBudget, control: { onProgress, signal } };
}
