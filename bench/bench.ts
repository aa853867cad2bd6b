// The benchmark: GPTQ to int4 in groups of 64 on SmolLM2-135M, beside llm-compressor where asked.
//
//   npm run bench -- [--model DIR] [--samples N] [--one-pass] [--against-reference PYTHON]
//
// MODEL is a folder or a Hub id; PYTHON is an interpreter that has llmcompressor installed.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { evaluate, inspectCheckpoint, resolveModel } from "layerwise";

/** Tokens of one sample: see the recipe's protocol. */
const LENGTH = 512;

interface Measurement {
  readonly seconds: number;
  readonly peakBytes: number;
  readonly phases?: Readonly<Record<string, number>>;
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const { values } = parseArgs({
  options: {
    model: { type: "string", default: "HuggingFaceTB/SmolLM2-135M-Instruct" },
    samples: { type: "string", default: "64" },
    "against-reference": { type: "string" },
    "one-pass": { type: "boolean", default: false },
    "no-perplexity": { type: "boolean", default: false },
  },
});
const model = await resolveModel(values.model);
const run = async (program: string, script: string, output: string): Promise<Measurement> => {
  const args = [here(script), model, here("data/calibration.jsonl"), output, values.samples, here("gptq-w4g64.yaml")];
  if (program === process.execPath && values["one-pass"]) args.push("1");
  // As the command line does; see src/cli/main.ts.
  if (program === process.execPath) args.unshift("--no-incremental-marking");
  const { stdout } = await promisify(execFile)(program, args, { maxBuffer: 2 ** 26 });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
};
const show = (name: string, { seconds, peakBytes }: Measurement) => {
  const rate = (Number(values.samples) * LENGTH) / seconds;
  console.log(`${name}: ${seconds.toFixed(1)} s, ${rate.toFixed(0)} tokens/s, peak ${(peakBytes / 1e6).toFixed(0)} MB`);
};

const output = here("../out/benchmark");
const ours = await run(process.execPath, "compress.mjs", output);
show("layerwise", ours);
console.log(`  seconds in each phase: ${JSON.stringify(ours.phases)}`);
if (values["against-reference"]) {
  const reference = await run(values["against-reference"], "reference.py", here("../out/reference"));
  show("llm-compressor", reference);
  console.log(
    `ratio: time ${(ours.seconds / reference.seconds).toFixed(3)}, peak ${(ours.peakBytes / reference.peakBytes).toFixed(3)}`,
  );
}
const { bytes } = await inspectCheckpoint(output);
console.log(`output: ${(bytes / 1e6).toFixed(1)} MB`);
if (!values["no-perplexity"]) {
  for (const text of ["state-of-the-union.txt", "moby-dick.txt"]) {
    const { perplexity } = await evaluate({ model: output, dataset: here(`data/${text}`) });
    console.log(`perplexity on ${text}: ${perplexity.toFixed(3)}`);
  }
}
