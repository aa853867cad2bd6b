// The memory of a large model: random weights in the shape of a Llama of 8 billion parameters, of which a few layers are run.
//
//   npm run bench:large -- [--layers N…] [--samples N] [--length N] [--folder DIR] [--limit GB] [--one-pass | --export]
//
// Writes 2.1 GB and 0.44 GB for each layer into DIR, and as much again at most for the output, twice as much with --export; deletes
// both. Compares the peaks of all numbers of layers; fails past the limit, or if a largest peak is 5 % over the smallest.
import { copyFile, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Cost, here, measure, measureExport } from "./measure.ts";
import { writeRandomModel, writeRandomSamples } from "./random-model.ts";

const { values } = parseArgs({
  options: {
    layers: { type: "string", multiple: true, default: ["2", "8"] },
    samples: { type: "string", default: "2" },
    length: { type: "string", default: "64" },
    folder: { type: "string", default: tmpdir() },
    limit: { type: "string", default: "4" },
    "one-pass": { type: "boolean", default: false },
    export: { type: "boolean", default: false },
  },
});
const VOCABULARY = 128256;
/** How far the peak may be off between numbers of layers. */
const TOLERANCE = 0.05;
const EXPORTS = [
  { format: "onnx", dtype: "fp32" },
  { format: "onnx", dtype: "q4" },
  { format: "gguf", dtype: "F16" },
  { format: "gguf", dtype: "F16", maxShardSize: 1e9 },
];

/** Runs a model of some layers in all ways that are asked for; gives what each cost, by what it is called. */
async function run(layers: number): Promise<Map<string, Cost>> {
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
    return await (values.export ? exportEach(folder, model) : compress(folder, model));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function compress(folder: string, model: string): Promise<Map<string, Cost>> {
  const samples = Number(values.samples);
  const dataset = join(folder, "samples.jsonl");
  await writeRandomSamples(dataset, { samples, length: Number(values.length), vocabulary: VOCABULARY });
  const passes = values["one-pass"] ? 1 : 2;
  const output = join(folder, "output");
  const result = await measure({ model, dataset, output, samples, passes, precision: "auto", givesBack: true });
  console.log(`  seconds in each phase: ${JSON.stringify(result.phases)}`);
  return new Map([["GPTQ", result]]);
}

async function exportEach(folder: string, model: string): Promise<Map<string, Cost>> {
  for (const file of ["tokenizer.json", "tokenizer_config.json"])
    await copyFile(here(`../examples/moby-tiny/${file}`), join(model, file));
  const costs = new Map<string, Cost>();
  for (const one of EXPORTS) {
    const output = join(folder, "output");
    const cost = await measureExport({ model, output, ...one });
    const files = await weightFiles(output);
    costs.set(`${one.format} ${one.dtype}${one.maxShardSize ? " in parts" : ""}`, cost);
    console.log(`  ${one.format} ${one.dtype}: ${files.map((bytes) => `${(bytes / 1e9).toFixed(2)} GB`).join(", ")}`);
    await rm(output, { recursive: true });
  }
  return costs;
}

/** The sizes of the files of weights below a folder. */
async function weightFiles(folder: string): Promise<number[]> {
  const names = await readdir(folder, { recursive: true });
  const files = names.filter((name) => /\.gguf$|_data(_\d+)?$/.test(name)).sort();
  return Promise.all(files.map(async (name) => (await stat(join(folder, name))).size));
}

const peaks = new Map<string, number[]>();
for (const layers of values.layers) {
  for (const [name, { seconds, coreSeconds, peakBytes }] of await run(Number(layers))) {
    peaks.set(name, [...(peaks.get(name) ?? []), peakBytes]);
    const times = `${seconds.toFixed(1)} s, ${coreSeconds.toFixed(1)} of all cores`;
    console.log(`${layers} layers, ${name}: ${times}, peak ${(peakBytes / 1e9).toFixed(2)} GB`);
  }
}
for (const [name, all] of peaks) {
  const growth = Math.max(...all) / Math.min(...all) - 1;
  console.log(`${name}, largest peak against the smallest: ${(100 * growth).toFixed(1)} % more`);
  if (Math.max(...all) <= 1e9 * Number(values.limit) && growth <= TOLERANCE) continue;
  console.error(`${name}: expected at most ${values.limit} GB and ${100 * TOLERANCE} % more`);
  process.exitCode = 1;
}
