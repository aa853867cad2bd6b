// The memory of a large model: random weights in the shape of a Llama of 8 billion parameters, of which a few layers are run.
//
//   npm run bench:large -- [--layers N…] [--samples N] [--length N] [--folder DIR] [--limit GB] [--one-pass]
//
// Writes 2.1 GB and 0.44 GB for each layer into DIR, and as much again at most for the output; deletes both. Compares the peak
// of all numbers of layers; fails past the limit, or if the largest peak is 5 % over the smallest.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Measurement, measure } from "./measure.ts";
import { writeRandomModel, writeRandomSamples } from "./random-model.ts";

const { values } = parseArgs({
  options: {
    layers: { type: "string", multiple: true, default: ["2", "8"] },
    samples: { type: "string", default: "2" },
    length: { type: "string", default: "64" },
    folder: { type: "string", default: tmpdir() },
    limit: { type: "string", default: "4" },
    "one-pass": { type: "boolean", default: false },
  },
});
const VOCABULARY = 128256;
/** How far the peak may be off between numbers of layers. */
const TOLERANCE = 0.05;

async function run(layers: number): Promise<Measurement> {
  const folder = await mkdtemp(join(values.folder, "layerwise-large-"));
  try {
    const model = join(folder, "model");
    await writeRandomModel(model, {
      num_hidden_layers: layers,
      hidden_size: 4096,
      intermediate_size: 14336,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      vocab_size: VOCABULARY,
    });
    const samples = Number(values.samples);
    const dataset = join(folder, "samples.jsonl");
    await writeRandomSamples(dataset, { samples, length: Number(values.length), vocabulary: VOCABULARY });
    const passes = values["one-pass"] ? 1 : 2;
    return await measure({
      model,
      dataset,
      output: join(folder, "output"),
      samples,
      passes,
      precision: "auto",
      givesBack: true,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const peaks: number[] = [];
for (const layers of values.layers) {
  const { seconds, peakBytes, phases } = await run(Number(layers));
  peaks.push(peakBytes);
  console.log(`${layers} layers: ${seconds.toFixed(1)} s, peak ${(peakBytes / 1e9).toFixed(2)} GB`);
  console.log(`  seconds in each phase: ${JSON.stringify(phases)}`);
}
const growth = Math.max(...peaks) / Math.min(...peaks) - 1;
console.log(`largest peak against the smallest: ${(100 * growth).toFixed(1)} % more`);
if (Math.max(...peaks) > 1e9 * Number(values.limit) || growth > TOLERANCE) {
  console.error(`expected at most ${values.limit} GB and ${100 * TOLERANCE} % more`);
  process.exitCode = 1;
}
