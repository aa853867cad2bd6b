// What a dry run predicts beside what then happens: time, peak memory and the size of the output, of several models and ways to run.
//
//   npm run bench:estimate -- [--model DIR] [--samples N]…
//
// MODEL is a folder or a Hub id. Time is predicted for a machine that does nothing else. Fails past 25 %.
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { inspectCheckpoint, resolveModel } from "layerwise";
import { here, type MeasuredRun, markdownTable, measure } from "./measure.ts";
import { writeRandomModel, writeRandomSamples } from "./random-model.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "HuggingFaceTB/SmolLM2-135M-Instruct" },
    samples: { type: "string", multiple: true, default: ["16", "64"] },
  },
});
/** How far a prediction may be off. */
const TOLERANCE = 0.25;
const VOCABULARY = 8192;

interface Prediction {
  readonly seconds: number;
  readonly peakBytes: number;
  readonly outputBytes: number;
}

/** A run under a name; its output goes wherever all of them go. */
type Case = Omit<MeasuredRun, "output"> & { readonly name: string };

async function predict({ model, dataset, samples, passes, recipe, precision = "F32" }: Case): Promise<Prediction> {
  const args = ["--no-incremental-marking", here("predict.mjs"), model, dataset, String(samples)];
  args.push(recipe ?? here("gptq-w4g64.yaml"), String(passes), precision);
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
}

async function cases(folder: string): Promise<Case[]> {
  const model = await resolveModel(values.model);
  const random = join(folder, "model");
  const shape = { num_hidden_layers: 4, hidden_size: 1024, intermediate_size: 4096, vocab_size: VOCABULARY };
  await writeRandomModel(random, { ...shape, num_attention_heads: 16, num_key_value_heads: 4 });
  const dataset = join(folder, "samples.jsonl");
  await writeRandomSamples(dataset, { samples: 16, length: 512, vocabulary: VOCABULARY });
  const own = { model, dataset: here("data/calibration.jsonl") };
  const example = { model: here("../examples/moby-tiny"), dataset: here("../examples/calibration.jsonl") };
  return [
    ...values.samples.flatMap((samples) =>
      ([2, 1] as const).map((passes) => ({ ...own, name: `${values.model}`, samples: Number(samples), passes })),
    ),
    { ...example, name: "examples/moby-tiny", samples: 32, passes: 2 },
    { model: random, dataset, name: "random, hidden 1024", samples: 16, passes: 2, precision: "auto" },
  ];
}

const percent = (value: number) => `${value > 0 ? "+" : ""}${(100 * value).toFixed(0)} %`;
const rows: string[][] = [];
let worst = 0;
const folder = await mkdtemp(join(tmpdir(), "layerwise-estimate-"));
try {
  for (const one of await cases(folder)) {
    const predicted = await predict(one);
    const output = join(folder, "output");
    const found = await measure({ ...one, output });
    const { bytes } = await inspectCheckpoint(output);
    const compare = (expected: number, real: number, show: (value: number) => string) => {
      worst = Math.max(worst, Math.abs(expected / real - 1));
      return [show(expected), show(real), percent(expected / real - 1)];
    };
    const inMega = (value: number) => (value / 1e6).toFixed(0);
    rows.push([
      `${one.name}, ${one.samples} samples, ${one.passes === 1 ? "one pass" : "two passes"}`,
      ...compare(predicted.seconds, found.seconds, (value) => value.toFixed(1)),
      ...compare(predicted.peakBytes, found.peakBytes, inMega),
      ...compare(predicted.outputBytes, bytes, inMega),
    ]);
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
const header = ["run", "seconds predicted", "taken", "off", "peak MB predicted", "taken", "off"];
console.log(markdownTable([...header, "output MB predicted", "written", "off"], rows));
if (worst > TOLERANCE) {
  console.error(`off by ${percent(worst)} at the most, expected at most ${percent(TOLERANCE)}`);
  process.exitCode = 1;
}
