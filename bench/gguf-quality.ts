// What each type of GGUF loses, and what calibration of its scales gives: perplexity of the files, read back, on two texts.
//
//   npm run bench:gguf -- [--model DIR] [--samples N] [--windows N] [--targets PATTERN] [--only PATTERN]
//
// MODEL is a folder or a Hub id. Calibrated on the first N (32) lines of Moby-Dick; the texts are a speech and later chapters of the
// book, N (32) windows of 512 tokens each. Linears that the regular expression after --targets finds (all but the last one) are
// quantized, the others F16: SmolLM2's rows are whole blocks of 256 in `down_proj` alone, elsewhere Q4_1 and Q8_0 stand in. --only
// picks rows of the table.
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  evaluate,
  exportModel,
  GPTQModifier,
  type Modifier,
  modifierFor,
  oneshot,
  QuantizationModifier,
  resolveModel,
} from "../src/index.ts";
import { here, markdownTable } from "./measure.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "HuggingFaceTB/SmolLM2-135M-Instruct" },
    samples: { type: "string", default: "32" },
    windows: { type: "string", default: "32" },
    targets: { type: "string", default: "_proj$" },
    only: { type: "string", default: "" },
  },
});
const model = await resolveModel(values.model);
const root = await mkdtemp(join(tmpdir(), "layerwise-gguf-"));

/** A row of the table. */
interface Row {
  readonly type: string;
  readonly method: string;
  /** Left out where the dense model is exported. */
  readonly modifier?: Modifier;
}

/** The scheme for a type, of the modules that are asked for. */
function schemeFor(type: string) {
  const weights = modifierFor("gguf", type).options.configGroups?.group_0.weights;
  return { configGroups: { group_0: { targets: [`re:.*${values.targets}`], weights } } };
}

const nearest = (type: string) => new QuantizationModifier({ ...schemeFor(type), weightObserver: "memoryless_minmax" });
const gptq = (type: string, weightObserver?: string) => new GPTQModifier({ ...schemeFor(type), weightObserver });

const ROWS: readonly Row[] = [
  { type: "F16", method: "" },
  { type: "Q8_0", method: "round to nearest", modifier: nearest("Q8_0") },
  { type: "Q6_K", method: "round to nearest", modifier: nearest("Q6_K") },
  { type: "Q6_K", method: "GPTQ, `k_block_mse`", modifier: gptq("Q6_K") },
  { type: "Q4_K", method: "round to nearest", modifier: nearest("Q4_K") },
  { type: "Q4_K", method: "GPTQ, `memoryless_minmax`", modifier: gptq("Q4_K", "memoryless_minmax") },
  { type: "Q4_K", method: "GPTQ, `imatrix_mse`", modifier: gptq("Q4_K", "imatrix_mse") },
  { type: "Q4_K", method: "GPTQ, `k_block_mse`", modifier: gptq("Q4_K") },
  { type: "Q4_1", method: "GPTQ", modifier: gptq("Q4_1") },
  { type: "Q4_0", method: "GPTQ", modifier: gptq("Q4_0") },
];

/** Compresses, where there is something to do, and exports; the path of the file and the mean error of the modules in dB. */
async function write({ type, modifier }: Row, folder: string): Promise<{ file: string; decibels: number }> {
  const errors: number[] = [];
  const compressed = join(folder, "compressed");
  if (modifier) {
    await oneshot({
      model,
      recipe: modifier,
      dataset: modifier.requiresCalibrationData ? here("data/calibration.jsonl") : undefined,
      output: compressed,
      precision: "F32",
      numCalibrationSamples: Number(values.samples),
      shuffleCalibrationSamples: false,
      maxSeqLength: 512,
      addSpecialTokens: false,
      onProgress: (event) => {
        if (event.type === "module" && event.errorInDecibels !== undefined) errors.push(event.errorInDecibels);
      },
    });
  }
  const output = join(folder, "gguf");
  await exportModel({ model: modifier ? compressed : model, format: ["gguf"], dtype: [type], output });
  const [file] = await readdir(output);
  const decibels = errors.reduce((sum, error) => sum + error, 0) / errors.length;
  return { file: join(output, file), decibels };
}

async function cellsOf(row: Row): Promise<string[]> {
  const folder = await mkdtemp(join(root, "row-"));
  const { file, decibels } = await write(row, folder);
  const cells = [row.type, row.method, Number.isNaN(decibels) ? "" : decibels.toFixed(2)];
  for (const text of ["state-of-the-union.txt", "moby-dick.txt"]) {
    const { perplexity } = await evaluate({
      model: file,
      dataset: here(`data/${text}`),
      windows: Number(values.windows),
    });
    cells.push(perplexity.toFixed(2));
  }
  cells.push(((await stat(file)).size / 1e6).toFixed(1));
  await rm(folder, { recursive: true });
  process.stderr.write(`${cells.join("  ")}\n`);
  return cells;
}

try {
  const only = new RegExp(values.only);
  const rows: string[][] = [];
  for (const row of ROWS.filter(({ type, method }) => only.test(`${type} ${method}`))) rows.push(await cellsOf(row));
  console.log(markdownTable(["type", "method", "dB", "State of the Union", "Moby-Dick", "MB"], rows));
} finally {
  await rm(root, { recursive: true, force: true });
}
