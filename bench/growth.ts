// How time and memory grow: with the number of layers, their width, the samples and their length. Random models in bfloat16.
//
//   npm run bench:growth
//
// Prints a table, and fails unless time is linear in layers and memory does not grow with them. Linear is judged by the seconds
// of all cores together, so that what else the machine does counts little.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Measurement, markdownTable, measure } from "./measure.ts";
import { writeRandomModel, writeRandomSamples } from "./random-model.ts";

interface Case {
  readonly layers: number;
  readonly hidden: number;
  readonly samples: number;
  readonly length: number;
}

const BASE: Case = { layers: 8, hidden: 512, samples: 8, length: 256 };
const CASES: readonly Case[] = [
  ...[4, 8, 16, 32].map((layers) => ({ ...BASE, layers })),
  ...[256, 1024].map((hidden) => ({ ...BASE, hidden })),
  ...[16, 32].map((samples) => ({ ...BASE, samples })),
  ...[128, 512].map((length) => ({ ...BASE, length })),
];
const VOCABULARY = 2048;
/** How far the time of a further layer may be off, and the peak between 4 and 32 layers. */
const [TIME_TOLERANCE, MEMORY_TOLERANCE] = [0.25, 0.1];

async function run({ layers, hidden, samples, length }: Case): Promise<Measurement> {
  const folder = await mkdtemp(join(tmpdir(), "layerwise-growth-"));
  try {
    const heads = hidden / 64;
    const shape = { num_hidden_layers: layers, hidden_size: hidden, intermediate_size: 3 * hidden };
    const attention = { num_attention_heads: heads, num_key_value_heads: heads / 2, vocab_size: VOCABULARY };
    await writeRandomModel(join(folder, "model"), { ...shape, ...attention });
    const dataset = join(folder, "samples.jsonl");
    await writeRandomSamples(dataset, { samples, length, vocabulary: VOCABULARY });
    return await measure({ model: join(folder, "model"), dataset, output: join(folder, "output"), samples });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const results = new Map<Case, Measurement>();
for (const one of CASES) results.set(one, await run(one));
const row = ({ layers, hidden, samples, length }: Case, { seconds, coreSeconds, peakBytes }: Measurement) => {
  const figures = [layers, hidden, samples, length].map(String);
  return [...figures, seconds.toFixed(1), coreSeconds.toFixed(1), (peakBytes / 1e6).toFixed(0)];
};
const header = ["layers", "hidden", "samples", "length", "seconds", "core seconds", "peak MB"];
console.log(
  markdownTable(
    header,
    [...results].map(([one, measured]) => row(one, measured)),
  ),
);

const [four, , sixteen, thirtyTwo] = [...results.values()];
const perLayer = (more: Measurement, fewer: Measurement, layers: number) =>
  (more.coreSeconds - fewer.coreSeconds) / layers;
const bend = perLayer(thirtyTwo, sixteen, 16) / perLayer(sixteen, four, 12) - 1;
const growth = thirtyTwo.peakBytes / four.peakBytes - 1;
const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
console.log(`time of a further layer, from 16 to 32 against from 4 to 16: ${percent(bend)}`);
console.log(`peak at 32 layers against 4: ${percent(growth)}`);
if (Math.abs(bend) > TIME_TOLERANCE || growth > MEMORY_TOLERANCE) {
  console.error(`expected at most ${percent(TIME_TOLERANCE)} and ${percent(MEMORY_TOLERANCE)}`);
  process.exitCode = 1;
}
