// What each type of GGUF loses, and what calibration of its scales gives: of the files, read back, the error of the outputs of their
// linears on the calibration data, and the perplexity on two texts.
//
//   npm run bench:gguf -- [--model DIR] [--samples N] [--windows N] [--targets PATTERN] [--only PATTERN]
//
// MODEL is a folder or a Hub id. Calibrated on the first N (32) lines of Moby-Dick; the texts are a speech and later chapters of the
// book, N (32) windows of 512 tokens each. Linears that the regular expression after --targets finds (all but the last one) are
// quantized, the others F16: SmolLM2's rows are whole blocks of 256 in `down_proj` alone, elsewhere Q4_1 and Q8_0 stand in. --only
// picks rows of the table. The error is 10 log₁₀ of trace(D XᵀX Dᵀ) / trace(W XᵀX Wᵀ), the mean over the linears, with X of the dense
// model and D what the file's W differs by.
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import {
  type CompressionStage,
  createMatrixProducts,
  ExportSource,
  evaluate,
  exportModel,
  GPTQModifier,
  KernelPool,
  Linear,
  type Modifier,
  type Module,
  matchModules,
  modifierFor,
  oneshot,
  QuantizationModifier,
  resolveModel,
  secondMoment,
  type Tap,
  Tensor,
} from "../src/index.ts";
import { decibels } from "../src/tensor/comparison.ts";
import { difference } from "../src/tensor/difference.ts";
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
  { type: "Q6_K", method: "GPTQ, `memoryless_minmax`", modifier: gptq("Q6_K", "memoryless_minmax") },
  { type: "Q6_K", method: "GPTQ, `k_block_mse`", modifier: gptq("Q6_K") },
  { type: "Q4_K", method: "round to nearest", modifier: nearest("Q4_K") },
  {
    type: "Q4_K",
    method: "GPTQ, `memoryless_minmax`, integer zero points",
    modifier: new GPTQModifier({ ...schemeFor("Q4_1"), weightObserver: "memoryless_minmax" }),
  },
  { type: "Q4_K", method: "GPTQ, `memoryless_minmax`", modifier: gptq("Q4_K", "memoryless_minmax") },
  { type: "Q4_K", method: "GPTQ, `k_block_mse`", modifier: gptq("Q4_K") },
  { type: "Q4_1", method: "GPTQ", modifier: gptq("Q4_1") },
  { type: "Q4_0", method: "GPTQ", modifier: gptq("Q4_0") },
];

/** Calibration data, and how it is used. */
const calibration = {
  dataset: here("data/calibration.jsonl"),
  numCalibrationSamples: Number(values.samples),
  shuffleCalibrationSamples: false,
  maxSeqLength: 512,
  addSpecialTokens: false,
};

/** Keeps XᵀX of the inputs of linears, and their weights. */
class Observation implements Modifier {
  readonly name = "Observation";
  readonly requiresCalibrationData = true;
  readonly leavesOutputs = true;
  readonly options = {};
  readonly seen = new Map<string, { readonly gram: Tensor<"F32">; readonly weight: Tensor<"F32"> }>();
  readonly #taps = new Map<Module, Tap>();

  initialize(model: Module): void {
    for (const module of matchModules(model, [`re:.*${values.targets}`]))
      this.#taps.set(module, { module, reduce: secondMoment });
  }

  taps(module: Module): readonly Tap[] {
    const tap = this.#taps.get(module);
    return tap ? [tap] : [];
  }

  async compress(stage: CompressionStage): Promise<void> {
    for (const [path, module] of stage.modules) {
      const tap = this.#taps.get(module);
      const gram = tap && stage.statistic(tap)?.value;
      if (!gram || !(module instanceof Linear)) continue;
      const weight = await stage.savedWeight(module);
      this.seen.set(path, { gram: copyOf(gram), weight: copyOf(weight) });
    }
  }
}

function copyOf({ shape, data }: Tensor<"F32">): Tensor<"F32"> {
  return new Tensor("F32", shape, data.slice());
}

/** The mean error of the outputs of a file's linears, in decibels. */
async function errorOf(file: string): Promise<number> {
  const source = await ExportSource.open(file);
  const kernels = await KernelPool.create(createMatrixProducts());
  try {
    const modules = new Map(source.model.namedModules());
    let sum = 0;
    for (const [path, { gram, weight }] of observation.seen) {
      const found = await (modules.get(path) as Linear).weight.load();
      const error = await kernels.quadraticForm(difference(weight, found), gram);
      sum += decibels(error / (await kernels.quadraticForm(weight, gram)));
    }
    return sum / observation.seen.size;
  } finally {
    await Promise.all([kernels.close(), source.close()]);
  }
}

/** Compresses, where there is something to do, and exports; the path of the file. */
async function write({ type, modifier }: Row, folder: string): Promise<string> {
  const compressed = join(folder, "compressed");
  if (modifier) {
    const data = modifier.requiresCalibrationData ? calibration : {};
    await oneshot({ model, recipe: modifier, output: compressed, precision: "F32", ...data });
  }
  const output = join(folder, "gguf");
  await exportModel({ model: modifier ? compressed : model, format: ["gguf"], dtype: [type], output });
  const [file] = await readdir(output);
  return join(output, file);
}

async function cellsOf(row: Row): Promise<string[]> {
  const folder = await mkdtemp(join(root, "row-"));
  const file = await write(row, folder);
  const cells = [row.type, row.method, (await errorOf(file)).toFixed(2)];
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

const observation = new Observation();
try {
  await oneshot({ model, recipe: observation, output: join(root, "observed"), ...calibration });
  const only = new RegExp(values.only);
  const rows: string[][] = [];
  for (const row of ROWS.filter(({ type, method }) => only.test(`${type} ${method}`))) rows.push(await cellsOf(row));
  console.log(markdownTable(["type", "method", "error in dB", "State of the Union", "Moby-Dick", "MB"], rows));
} finally {
  await rm(root, { recursive: true, force: true });
}
