import { type Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.ts";
import { bindCheckpoint } from "../formats/bind-checkpoint.ts";
import { simulateActivations } from "../formats/simulate-activations.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { createModel } from "../models/registry.ts";

/** A checkpoint, and the model that is bound to it. */
export interface Bound {
  readonly checkpoint: Checkpoint;
  readonly model: CausalLM;
}

/** Opens a checkpoint, a folder or a GGUF file, and binds its model. @throws LayerwiseError for what cannot be read */
export async function openBound(folder: string): Promise<Bound> {
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
