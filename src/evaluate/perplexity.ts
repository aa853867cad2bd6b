import type { Node } from "../fx/node.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { Module } from "../nn/module.ts";
import { nextTokenLoss } from "../ops/loss.ts";
import { type DispatchOptions, dispatchForSequential } from "../sequential/dispatch.ts";
import type { RunControl } from "../sequential/events.ts";
import type { Batch } from "../sequential/intermediates.ts";
import { runInOrder } from "../sequential/run-in-order.ts";
import { traceSubgraphs } from "../sequential/trace-subgraphs.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** How well a model predicts a text. */
export interface Perplexity {
  /** exp of the mean negative log-likelihood of the predicted tokens. */
  readonly perplexity: number;
  /** Tokens that were predicted: all but the first of each window. */
  readonly tokens: number;
}

/** Where to run, and how to watch and stop it. */
export interface EvaluateOptions extends DispatchOptions {
  readonly control?: RunControl;
}

/**
 * Perplexity over windows of tokens, each on its own: exp(mean −log p(token | those before it in its window)).
 * The model runs one subgraph at a time, so its weights are never all in memory.
 *
 * @param windows - `input_ids`: I64[1, length] each
 * @example
 * const windows = await loadEvaluationWindows("moby-dick.txt", { tokenizer });
 * const { perplexity } = await evaluatePerplexity(model, windows);
 */
export async function evaluatePerplexity(
  model: CausalLM,
  windows: readonly Batch[],
  { control = {}, device = "cpu", ...options }: EvaluateOptions = {},
): Promise<Perplexity> {
  const onWarning = (message: string) => control.onProgress?.({ type: "warning", message });
  const dispatched = await dispatchForSequential(new NextTokenLoss(model), { onWarning, ...options, device });
  const targets = model.noSplitModules;
  const subgraphs = traceSubgraphs(dispatched.model, windows[0], targets);
  let [sum, tokens] = [0, 0];
  for await (const { loss } of runInOrder(subgraphs, dispatched, windows, control)) {
    const { data } = loss as Tensor<"F32">;
    sum += data.reduce((total, value) => total + value, 0);
    tokens += data.length;
  }
  return { perplexity: Math.exp(sum / tokens), tokens };
}

/** A model that returns the loss of each token instead of logits, so that these stay inside one run. */
class NextTokenLoss extends Module<void> {
  override readonly forwardParameters = [{ name: "input_ids" }];

  constructor(readonly network: CausalLM) {
    super();
  }

  forward(inputIds: Node): { loss: Node } {
    const { logits } = this.network.call(inputIds, null, null, false);
    return { loss: nextTokenLoss(logits, inputIds) };
  }
}
