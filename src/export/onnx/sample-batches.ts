import { toBatches } from "../../data/batches.ts";
import { tokenize } from "../../data/samples.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import type { Batch } from "../../sequential/intermediates.ts";

/** Texts of different kinds: what is large in a model is so for nearly any text, mostly at its first tokens. */
const TEXTS = [
  "Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, I thought I would sail about a little and see the watery part of the world.",
  "Question: A train leaves at 9:45 and arrives at 13:20. How long does the journey take?\nAnswer: 3 hours and 35 minutes.",
  "function add(a, b) {\n  return a + b;\n}\n\nconsole.log(add(1, 2)); // 3\n",
  "Der Fluss war über die Ufer getreten. El río se había desbordado. 河水漫过了堤岸。",
];

/** Batches of one text each, for a look at what a model computes. */
export function sampleBatches(tokenizer: Tokenizer): Batch[] {
  const samples = TEXTS.map((text, row) =>
    tokenize({ kind: "text", text, where: `sample ${row}` }, { tokenizer, addSpecialTokens: true }),
  );
  const batches = toBatches(samples, { batchSize: 1, dataCollator: "truncation", tokenizer });
  return batches.map(({ input_ids }) => ({ input_ids }));
}
