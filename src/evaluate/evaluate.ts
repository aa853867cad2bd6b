import { openCheckpoint } from "../checkpoint/checkpoint.ts";
import { resolveModel } from "../checkpoint/hub.ts";
import { checkTokens } from "../data/check-tokens.ts";
import { loadEvaluationWindows } from "../data/evaluation.ts";
import { loadTokenizer } from "../data/tokenizer.ts";
import { bindCheckpoint } from "../formats/bind-checkpoint.ts";
import { simulateActivations } from "../formats/simulate-activations.ts";
import { createModel } from "../models/registry.ts";
import type { Device } from "../runtime/session.ts";
import type { RunControl } from "../sequential/events.ts";
import { evaluatePerplexity, type Perplexity } from "./perplexity.ts";

/** Arguments of {@link evaluate}. */
export interface EvaluationSettings extends RunControl {
  /** A folder, dense or compressed, or a Hub id. */
  readonly model: string;
  /** A text file. */
  readonly dataset: string;
  /** Windows of the text that are evaluated, from its start. 32. */
  readonly windows?: number;
  /** Tokens in each window. 512. */
  readonly length?: number;
  /** Where it is computed. "cpu". */
  readonly device?: Device;
  /** Threads for one operator; by default one for each core. */
  readonly threads?: number;
}

/**
 * Perplexity of a checkpoint on a text: see {@link evaluatePerplexity}.
 *
 * @example
 * const { perplexity } = await evaluate({ model: "SmolLM2-135M-W4A16", dataset: "moby-dick.txt" });
 */
export async function evaluate({
  model: id,
  dataset,
  windows,
  length,
  device,
  threads,
  ...control
}: EvaluationSettings): Promise<Perplexity> {
  const checkpoint = await openCheckpoint(await resolveModel(id));
  try {
    const model = createModel(checkpoint.config, { where: checkpoint.pathOf("config.json") });
    bindCheckpoint(model, checkpoint);
    simulateActivations(model, checkpoint);
    const tokenizer = await loadTokenizer(checkpoint.folder);
    const batches = await loadEvaluationWindows(dataset, { tokenizer, windows, length });
    checkTokens(dataset, batches, model.lm_head.outFeatures);
    return await evaluatePerplexity(model, batches, { device, threads, control });
  } finally {
    await checkpoint.close();
  }
}
