import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.ts";
import { type CompressedModule, compressedModules, denseDType, withoutPrefix } from "../formats/bind-checkpoint.ts";
import { checkpointQuantization } from "../formats/checkpoint-quantization.ts";
import { type OutputPlan, planOutput } from "../formats/output-plan.ts";
import { attachTransforms } from "../formats/transform-config.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { createModel } from "../models/registry.ts";
import { Buffer } from "../nn/parameter.ts";
import type { ModelQuantization } from "../schemes/quantized-values.ts";

/** A checkpoint, and what it should hold by its config.json. */
export interface StoredModel {
  readonly checkpoint: Checkpoint;
  readonly model: CausalLM;
  readonly quantization: ModelQuantization;
  /** The modules whose weights should be compressed, by path. */
  readonly compressed: ReadonlyMap<string, CompressedModule>;
  /** The tensors that should be there; `surplus` are those that are there and should not. */
  readonly plan: OutputPlan;
}

/** Opens a checkpoint without trusting that it holds what it should. @throws LayerwiseError for what cannot be read at all */
export async function openStoredModel(folder: string): Promise<StoredModel> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const model = createModel(checkpoint.config, { where: checkpoint.pathOf("config.json") });
    const quantization = checkpointQuantization(model, checkpoint);
    const compressed = compressedModules(model, checkpoint);
    attachTransforms(model, quantization.transforms, checkpoint);
    bindAsPlanned(model, checkpoint, compressed);
    return { checkpoint, model, quantization, compressed, plan: planOutput(model, checkpoint, quantization) };
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/** Gives every parameter the place that it should have, whether it has one or not. */
function bindAsPlanned(
  model: CausalLM,
  checkpoint: Checkpoint,
  compressed: ReadonlyMap<string, CompressedModule>,
): void {
  for (const [path, parameter] of model.namedParameters()) {
    if (parameter instanceof Buffer) continue;
    const short = withoutPrefix(model, path);
    const name = !checkpoint.tensors.has(path) && checkpoint.tensors.has(short) ? short : path;
    const module = compressed.get(path.replace(/\.weight$/, ""));
    const isCompressed = module !== undefined && path.endsWith(".weight");
    const dtype = isCompressed ? denseDType(module.path, checkpoint) : (checkpoint.tensors.get(name)?.dtype ?? "F32");
    parameter.source = { name, dtype, shape: parameter.shape, read: () => checkpoint.read(name) };
  }
}
