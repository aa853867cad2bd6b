import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.ts";
import { resolveModel } from "../checkpoint/hub.ts";
import { LayerwiseError } from "../errors.ts";
import { bindCheckpoint } from "../formats/bind-checkpoint.ts";
import { simulateActivations } from "../formats/simulate-activations.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { createModel } from "../models/registry.ts";
import type { Device } from "../runtime/session.ts";
import type { RunControl } from "../sequential/events.ts";
import { defaultMemoryBudget, type IntermediatesOptions } from "../sequential/intermediates.ts";
import { checkCheckpoint, type FileCheck, type Source } from "./check-checkpoint.ts";
import { carriedWeights, checkOnnxFolder, isOnnxFolder } from "./check-onnx.ts";
import type { LogitsFidelity } from "./compare-logits.ts";
import { compareOnnxWeights } from "./compare-onnx.ts";
import { compareSubgraphs, judgeSubgraphs, type SubgraphFidelity } from "./compare-subgraphs.ts";
import { compareWeights, judgeWeights, type WeightFidelity } from "./compare-weights.ts";
import type { Problem } from "./problem.ts";
import { withoutPrunedExperts } from "./pruned-source.ts";
import { loadSamples, type SampleOptions } from "./samples.ts";
import { openStoredModel } from "./stored-model.ts";

/** Arguments of {@link verify}. */
export interface VerifyOptions extends RunControl, SampleOptions, IntermediatesOptions {
  /** The checkpoint: a folder or a Hub id. */
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
  /** Only with a source that it can be compared with. */
  readonly comparison?: Fidelity;
}

/** How near a compressed model is to the original one. */
export interface Fidelity {
  readonly weights: readonly WeightFidelity[];
  readonly subgraphs: readonly SubgraphFidelity[];
  readonly logits: LogitsFidelity;
}

/**
 * Reads a checkpoint back as vLLM or transformers would, and tells all that is wrong with it: tensors that are missing, too
 * many, or not as its quantization_config says; modules that its recipe asks for and that are not quantized; NaN; codes out of
 * range; bytes, and files, that are not what they were when it was written. With `source`, each weight, each subgraph on a few
 * samples, and the logits are compared with those of the original model: what is far out of line with its peers is a problem.
 * Memory stays that of one subgraph.
 *
 * @throws LayerwiseError where the source or the samples cannot be read; what is wrong with the checkpoint is returned
 * @example
 * const { problems } = await verify({ model: "SmolLM2-135M-W4A16", source: "SmolLM2-135M" });
 */
export async function verify({ model, source, ...options }: VerifyOptions): Promise<Verification> {
  const folder = await resolveModel(model);
  if (await isOnnxFolder(folder)) return verifyOnnx(folder, source, options.signal);
  if (source === undefined) return { folder, ...(await checkCheckpoint(folder, options)) };
  const original = await openBound(await resolveModel(source));
  try {
    const same = await sameSize(folder, original);
    const files = await checkCheckpoint(folder, { source: same, signal: options.signal });
    const [problems, notes] = [[...files.problems], [...files.notes]];
    if (same !== original) notes.push("experts were left out: compared with the source without them");
    const compared = await compare(folder, same, options, (note) => notes.push(note)).catch((error) => {
      if (!(error instanceof LayerwiseError) || files.problems.length === 0) throw error;
      notes.push(`not compared with the source: ${error.message}`);
    });
    return {
      ...files,
      folder,
      notes,
      problems: [...problems, ...(compared?.problems ?? [])],
      comparison: compared?.fidelity,
    };
  } finally {
    await original.checkpoint.close();
  }
}

/** An exported folder by itself, or beside the checkpoint that it was exported from. */
async function verifyOnnx(folder: string, source: string | undefined, signal?: AbortSignal): Promise<Verification> {
  if (source === undefined) return { folder, ...(await checkOnnxFolder(folder, new Set(), signal)) };
  const original = await openBound(await resolveModel(source));
  try {
    const files = await checkOnnxFolder(folder, carriedWeights(original), signal);
    if (files.problems.length > 0) return { folder, ...files };
    const [weights, notes]: [WeightFidelity[], string[]] = [[], []];
    for await (const weight of compareOnnxWeights(folder, original.model)) {
      signal?.throwIfAborted();
      weights.push(weight);
    }
    return { folder, ...files, problems: judgeWeights(weights, (note) => notes.push(note)), notes };
  } finally {
    await original.checkpoint.close();
  }
}

/** A checkpoint, and the model that is bound to it. */
interface Bound {
  readonly checkpoint: Checkpoint;
  readonly model: CausalLM;
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

async function openBound(folder: string): Promise<Bound> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const model = createModel(checkpoint.config, { where: checkpoint.pathOf("config.json") });
    bindCheckpoint(model, checkpoint);
    simulateActivations(model, checkpoint);
    return { checkpoint, model };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

async function compare(
  folder: string,
  original: Source,
  {
    device = "cpu",
    threads,
    memoryBudget = defaultMemoryBudget(),
    onProgress,
    signal,
    ...samples
  }: Omit<VerifyOptions, "model">,
  onNote: (note: string) => void,
): Promise<{ fidelity: Fidelity; problems: Problem[] }> {
  const { checkpoint, model } = await openBound(folder);
  try {
    const weights: WeightFidelity[] = [];
    for await (const weight of compareWeights(model, checkpoint, original.model)) {
      signal?.throwIfAborted();
      weights.push(weight);
    }
    const batches = await loadSamples(original.checkpoint, original.model, samples);
    const place = { device, threads, memoryBudget, control: { onProgress, signal } };
    const { subgraphs, logits } = await compareSubgraphs(model, original.model, batches, place);
    return {
      fidelity: { weights, subgraphs, logits: logits.fidelity },
      problems: [...judgeWeights(weights, onNote), ...judgeSubgraphs(subgraphs, onNote), ...logits.problems],
    };
  } finally {
    await checkpoint.close();
  }
}
