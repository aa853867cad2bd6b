// How near an exported model is to our own evaluation, where transformers.js and ONNX Runtime run it: SmolLM2-135M, GPTQ to int4
// in groups of 32 and to int8 in rows.
//
//   npm run bench:onnx -- [--model DIR] [--samples N] [--windows N]
//
// MODEL is a folder or a Hub id. Calibrated on the first N (32) lines of Moby-Dick; perplexities are those of the first N (8)
// windows of 512 tokens of later chapters. Prints a table; fails where a figure is past its limit.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadEvaluationWindows } from "../src/data/evaluation.ts";
import { loadTokenizer } from "../src/data/tokenizer.ts";
import { evaluate, exportModel, modifierFor, oneshot, resolveModel } from "../src/index.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { DecoderSession } from "../src/verify/decoder-session.ts";
import { departureOf, greedyChoices, logitsOf } from "../test/onnx/greedy-choices.ts";
import { runTransformersJs } from "../test/onnx/transformers-js.ts";
import { here, markdownTable } from "./measure.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "HuggingFaceTB/SmolLM2-135M-Instruct" },
    samples: { type: "string", default: "32" },
    windows: { type: "string", default: "8" },
  },
});
const model = await resolveModel(values.model);
const root = await mkdtemp(join(tmpdir(), "layerwise-onnx-"));
const text = here("data/moby-dick.txt");
const [windows, length, newTokens, promptLength] = [Number(values.windows), 512, 64, 32];
const tokenizer = await loadTokenizer(model);
const batches = await loadEvaluationWindows(text, { tokenizer, windows, length });
const tokenWindows = batches.map(({ input_ids }) => Array.from(input_ids.data, Number));
const prompt = tokenWindows[0].slice(0, promptLength);

/** What was measured, and the most that it may be; a limit of infinity is none. */
type Row = readonly [what: string, found: string, value: number, limit: number];

const folderOf = (name: string) => join(root, name);
const percent = (value: number) => `${(100 * value).toFixed(3)} %`;

/** Compresses as `dtype` of ONNX holds it, and exports the same codes to all `dtypes`. */
async function compress(dtype: string, dtypes: readonly string[]): Promise<string[]> {
  const warnings: string[] = [];
  await oneshot({
    model,
    recipe: modifierFor("onnx", dtype),
    dataset: here("data/calibration.jsonl"),
    output: folderOf(dtype),
    numCalibrationSamples: Number(values.samples),
    shuffleCalibrationSamples: false,
    maxSeqLength: 512,
    format: ["onnx"],
    dtype: dtypes,
    onProgress: (event) => event.type === "warning" && warnings.push(event.message),
  });
  return warnings;
}

/** The largest difference of logits from ours, over the largest logit: of a prompt at once, and fed token by token. */
async function logitsRows(): Promise<Row[]> {
  const folder = folderOf("fp32");
  await exportModel({ model, format: ["onnx"], dtype: ["fp32"], output: folder });
  const tokens = tokenWindows[0].slice(0, promptLength + newTokens);
  const expected = await logitsOf(model, tokens);
  const session = await DecoderSession.open(folder, "model.onnx");
  const rows: Row[] = [];
  for (const [what, prompt] of [
    ["logits of a prompt", tokens.length],
    ["logits token by token", promptLength],
  ] as const) {
    const largest = relativeDifference(await session.decode(tokens, prompt), expected);
    rows.push([`fp32, ${what}: relative difference`, largest.toExponential(1), largest, 1e-3]);
  }
  await session.release();
  return rows;
}

/** Of the token where it is largest. */
function relativeDifference(found: Tensor<"F32">, expected: Tensor<"F32">): number {
  const width = expected.shape[2];
  const ofToken = (token: number) => {
    const [a, b] = [found, expected].map(({ data }) => data.subarray(token * width, (token + 1) * width));
    const largest = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return largest(a.map((value, index) => value - b[index])) / largest(b);
  };
  return Math.max(...Array.from({ length: expected.shape[1] }, (_, token) => ofToken(token)));
}

/** Whether transformers.js generates our own greedy choices, up to the first tie within float noise. */
async function tokensRow(dtype: string): Promise<Row> {
  const { tokens } = await runTransformersJs({ folder: folderOf(`${dtype}-onnx`), dtype, prompt, newTokens });
  const departure = departureOf(await greedyChoices(folderOf(dtype), tokens), tokens, promptLength);
  const generated = tokens.length - promptLength;
  const found = departure
    ? `the first ${departure.after} of ${generated}, then a tie within ${departure.lead.toFixed(4)}`
    : `all ${generated}`;
  return [`${dtype}, tokens of transformers.js that are ours`, found, departure?.lead ?? 0, 0.05];
}

/** Perplexity in transformers.js beside that of the compressed checkpoint with the same integers. */
async function perplexityRow(dtype: string, compressed: string, limit: number): Promise<Row> {
  const { loss } = await runTransformersJs({ folder: folderOf(`${compressed}-onnx`), dtype, windows: tokenWindows });
  const { perplexity } = await evaluate({ model: folderOf(compressed), dataset: text, windows, length });
  const difference = Math.exp(loss) / perplexity - 1;
  const found = `${Math.exp(loss).toFixed(3)} and ${perplexity.toFixed(3)}: ${percent(difference)}`;
  return [`${dtype}, perplexity in transformers.js and in layerwise`, found, Math.abs(difference), limit];
}

try {
  const warnings = [...(await compress("q4", ["q4", "q4f16"])), ...(await compress("q8", ["q8"]))];
  const rows: Row[] = [];
  const found = (...some: readonly Row[]) => {
    for (const [what, value] of some) process.stderr.write(`${what}: ${value}\n`);
    rows.push(...some);
  };
  found(...(await logitsRows()));
  for (const dtype of ["q4", "q8"]) found(await tokensRow(dtype));
  for (const dtype of ["q4", "q8"]) found(await perplexityRow(dtype, dtype, 0.005));
  found(await perplexityRow("q4f16", "q4", Number.POSITIVE_INFINITY)); // slow: a CPU computes float16 in float32
  console.log(
    markdownTable(
      ["measured", "found"],
      rows.map(([what, found]) => [what, found]),
    ),
  );
  for (const warning of new Set(warnings)) console.log(`\n${warning}`);
  const failed = rows.filter(([, , value, limit]) => !(value <= limit));
  for (const [what, found, , limit] of failed) console.error(`${what}: ${found}, expected at most ${limit}`);
  if (failed.length > 0) process.exitCode = 1;
} finally {
  await rm(root, { recursive: true, force: true });
}
