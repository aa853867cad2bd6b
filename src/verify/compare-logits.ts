import type { Tensor } from "../tensor/tensor.ts";
import { type Problem, problem } from "./problem.ts";

/** How near the predictions of a model are to those of another. */
export interface LogitsFidelity {
  /** Mean Kullback-Leibler divergence of the predicted distribution from the original's, in nats a token. */
  readonly klDivergence: number;
  /** Share of the tokens whose most likely successor is the same. */
  readonly top1Agreement: number;
  /** How many successors were compared. */
  readonly tokens: number;
}

/** Compares logits token by token. */
export class LogitsComparison {
  #divergence = 0;
  /** Divergence of a guess that takes every token for as likely. */
  #ofGuess = 0;
  #agreements = 0;
  #tokens = 0;

  /** Takes logits of the same tokens: [batch, seq, vocabulary]. */
  add(found: Tensor<"F32">, expected: Tensor<"F32">): void {
    const size = expected.shape.at(-1) as number;
    for (let start = 0; start < expected.data.length; start += size) {
      this.#addToken(found.data.subarray(start, start + size), expected.data.subarray(start, start + size));
    }
  }

  get fidelity(): LogitsFidelity {
    const tokens = this.#tokens;
    return { klDivergence: this.#divergence / tokens, top1Agreement: this.#agreements / tokens, tokens };
  }

  /** A model that predicts worse than a guess is broken. */
  get problems(): Problem[] {
    if (this.#divergence < this.#ofGuess || this.#divergence === 0) return [];
    const [found, guess] = [this.#divergence, this.#ofGuess].map((sum) => (sum / this.#tokens).toFixed(3));
    const expected = `less than the ${guess} of a blind guess`;
    return [
      problem(
        "logits",
        `${found} nats a token from the original's`,
        expected,
        "Compress the model again, with more bits.",
      ),
    ];
  }

  #addToken(found: Float32Array, expected: Float32Array): void {
    const [p, q] = [summarize(expected), summarize(found)];
    let [divergence, entropy] = [0, 0];
    for (let i = 0; i < expected.length; i++) {
      const logP = expected[i] - p.logSum;
      const probability = Math.exp(logP);
      if (probability === 0) continue;
      divergence += probability * (logP - (found[i] - q.logSum));
      entropy -= probability * logP;
    }
    this.#divergence += divergence;
    this.#ofGuess += Math.log(expected.length) - entropy;
    this.#agreements += Number(p.largest === q.largest);
    this.#tokens++;
  }
}

/** Where the largest logit is, and log Σ exp of all. */
function summarize(logits: Float32Array): { largest: number; logSum: number } {
  let largest = 0;
  for (let i = 1; i < logits.length; i++) if (logits[i] > logits[largest]) largest = i;
  const top = logits[largest];
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i] - top);
  return { largest, logSum: top + Math.log(sum) };
}
