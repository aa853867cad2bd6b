// Writes a Llama checkpoint in bfloat16 with random weights, and samples of token ids for it, `samples.jsonl` beside them.
//
//   npx tsx bench/make-random-model.ts FOLDER [--layers N] [--hidden N] [--intermediate N] [--heads N] [--kv-heads N]
//     [--vocabulary N] [--samples N] [--length N] [--seed N]
import { join } from "node:path";
import { parseArgs } from "node:util";
import { writeRandomModel, writeRandomSamples } from "./random-model.ts";

const number = (value: number) => ({ type: "string", default: String(value) }) as const;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    layers: number(4),
    hidden: number(512),
    intermediate: number(1024),
    heads: number(8),
    "kv-heads": number(4),
    vocabulary: number(1024),
    samples: number(4),
    length: number(128),
    seed: number(0),
  },
});
const [folder] = positionals;
if (!folder) throw new Error("make-random-model: no folder, expected one. Name where the checkpoint goes.");
const vocabulary = Number(values.vocabulary);
const shape = {
  num_hidden_layers: Number(values.layers),
  hidden_size: Number(values.hidden),
  intermediate_size: Number(values.intermediate),
  num_attention_heads: Number(values.heads),
  num_key_value_heads: Number(values["kv-heads"]),
  vocab_size: vocabulary,
};
await writeRandomModel(folder, shape, Number(values.seed));
const data = { samples: Number(values.samples), length: Number(values.length), vocabulary };
await writeRandomSamples(join(folder, "samples.jsonl"), data);
