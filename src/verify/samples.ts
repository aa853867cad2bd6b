import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { toTensor } from "../data/batches.ts";
import { checkTokens } from "../data/check-tokens.ts";
import { loadEvaluationWindows } from "../data/evaluation.ts";
import { loadTokenizer } from "../data/tokenizer.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import type { Batch } from "../sequential/intermediates.ts";

/** Which tokens models are run on. */
export interface SampleOptions {
  /** A text file; by default a few passages that layerwise brings. */
  readonly dataset?: string;
  /** Windows of the text that are taken, from its start. 4. */
  readonly windows?: number;
  /** Tokens in each window; of the passages that layerwise brings, the most. 128. */
  readonly length?: number;
}

/** Prose, a proof, a program and figures. */
const PASSAGES: readonly string[] = [
  `The lighthouse keeper wrote down the weather every evening, as his father had done before him. On most days there was little to say: wind from the west, a calm sea, two ships far out. But in the winter of that year the pages filled with storms, and when the boat came at last to fetch him, he had used up all the paper and was writing on the wall.`,
  `There are infinitely many primes. Suppose there were only finitely many, and let N be one more than the product of all of them. Then N is greater than one, so some prime divides it; but each of the primes leaves a remainder of one when it divides N. This is a contradiction, and so the list cannot have been complete.`,
  `def fibonacci(n):\n    """Returns the first n Fibonacci numbers."""\n    numbers = [0, 1]\n    while len(numbers) < n:\n        numbers.append(numbers[-1] + numbers[-2])\n    return numbers[:n]\n\nif __name__ == "__main__":\n    print(fibonacci(10))  # [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]\n`,
  `| country | capital | inhabitants |\n| --- | --- | --- |\n| France | Paris | 2.1 million |\n| Italy | Rome | 2.8 million |\n| Spain | Madrid | 3.3 million |\n\nQuestion: Which of these capitals has the most inhabitants? Answer: Madrid, the capital of Spain, with 3.3 million inhabitants.`,
];

/** Tokens to run models on: of a text, or without a tokenizer any. */
export async function loadSamples(
  checkpoint: Checkpoint,
  model: CausalLM,
  { dataset, windows = 4, length = 128 }: SampleOptions = {},
): Promise<Batch[]> {
  const vocabulary = model.lm_head.outFeatures;
  if (dataset !== undefined) {
    const tokenizer = await loadTokenizer(checkpoint.folder);
    const found = await loadEvaluationWindows(dataset, { tokenizer, windows, length });
    checkTokens(dataset, found, vocabulary);
    return found;
  }
  const passages = await encodePassages(checkpoint, vocabulary);
  const rows = passages.length > 0 ? passages : [anyTokens(vocabulary)];
  return rows.map((ids) => ({ input_ids: toTensor([ids.slice(0, length)]) }));
}

/** The passages of which the model's tokenizer makes tokens; none without one. */
async function encodePassages(checkpoint: Checkpoint, vocabulary: number): Promise<number[][]> {
  if (!(await checkpoint.listFiles()).includes("tokenizer.json")) return [];
  const tokenizer = await loadTokenizer(checkpoint.folder);
  const encoded = PASSAGES.map((text) => tokenizer.encode(text, { addSpecialTokens: true }));
  return encoded.filter((ids) => ids.length > 1 && ids.every((id) => id < vocabulary));
}

/** Tokens from all over a vocabulary. */
function anyTokens(vocabulary: number): number[] {
  return Array.from({ length: 32 }, (_, index) => (index * 7919 + 1) % vocabulary);
}
