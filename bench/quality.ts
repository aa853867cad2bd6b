// What each step of a method gives: SmolLM2-135M in int4, symmetric, groups of 64, perplexity on two texts.
//
//   npm run bench:quality -- [--model DIR] [--samples N] [--only PATTERN]
//
// MODEL is a folder or a Hub id; PATTERN, a regular expression, picks rows of the table. Calibrated on the first N (32) lines of
// Moby-Dick; the texts are a speech and later chapters of the book.
import { parseArgs } from "node:util";
import { evaluate, resolveModel } from "layerwise";
import { here, markdownTable, measure } from "./measure.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "HuggingFaceTB/SmolLM2-135M-Instruct" },
    samples: { type: "string", default: "32" },
    only: { type: "string", default: "" },
  },
});

/** A row of the table. */
interface Method {
  readonly name: string;
  readonly modifier?: string;
  /** Fields that the modifier has beside the scheme. */
  readonly fields?: string;
  /** A modifier that comes first, with its fields. */
  readonly first?: string;
  /** The name of a recipe that layerwise brings, in place of modifiers. */
  readonly recipe?: string;
  /** How often the model is run, if not twice. */
  readonly passes?: 1 | 2;
}

/** Fields of a recipe, at the depth that they have there. */
const REFINED = "preset: best\n      refinement_sweeps: 4";

const BLOCKS = "{ transform_type: hadamard, transform_block_size: 64 }";

const METHODS: readonly Method[] = [
  { name: "round to nearest", modifier: "QuantizationModifier" },
  { name: "round to nearest, `imatrix_mse`", modifier: "QuantizationModifier", fields: "weight_observer: imatrix_mse" },
  { name: "GPTQ", modifier: "GPTQModifier" },
  { name: "GPTQ, `memoryless_mse`", modifier: "GPTQModifier", fields: "weight_observer: memoryless_mse" },
  { name: "GPTQ, `preset: best`: `imatrix_mse`", modifier: "GPTQModifier", fields: "preset: best" },
  { name: "and 4 sweeps of refinement", modifier: "GPTQModifier", fields: REFINED },
  { name: "`preset: best` in one pass", modifier: "GPTQModifier", fields: "preset: best", passes: 1 },
  { name: "and 4 sweeps of refinement in one pass", modifier: "GPTQModifier", fields: REFINED, passes: 1 },
  { name: "SpinQuant, then GPTQ", first: "SpinQuantModifier: {}", modifier: "GPTQModifier" },
  {
    name: "SpinQuant, then `preset: best`",
    first: "SpinQuantModifier: {}",
    modifier: "GPTQModifier",
    fields: "preset: best",
  },
  { name: "QuIP, then GPTQ", first: "QuIPModifier: {}", modifier: "GPTQModifier" },
  { name: "QuIP, then `preset: best`", first: "QuIPModifier: {}", modifier: "GPTQModifier", fields: "preset: best" },
  { name: "QuIP in blocks of 64, then GPTQ", first: `QuIPModifier: ${BLOCKS}`, modifier: "GPTQModifier" },
  { name: "the recipe `best`: QuIP in blocks of 64, then `preset: best`", recipe: "best" },
];

/** The benchmark's scheme, for any modifier. */
const recipeOf = ({ modifier, fields = "", first, recipe }: Method) =>
  recipe ??
  `
quality_stage:
  quantization_modifiers:
    ${first ?? ""}
    ${modifier}:
      ignore: [lm_head]
      ${fields}
      config_groups:
        group_0:
          targets: [Linear]
          weights: { num_bits: 4, type: int, symmetric: true, strategy: group, group_size: 64 }
`;

const model = await resolveModel(values.model);
const output = here("../out/quality");

async function perplexities(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const text of ["state-of-the-union.txt", "moby-dick.txt"]) {
    const { perplexity } = await evaluate({ model: folder, dataset: here(`data/${text}`) });
    found.push(perplexity.toFixed(2));
  }
  return found;
}

async function row(method: Method): Promise<string[]> {
  const { name, passes } = method;
  const run = { model, dataset: here("data/calibration.jsonl"), output, samples: Number(values.samples), passes };
  const { seconds } = await measure({ ...run, recipe: recipeOf(method) });
  const cells = [name, ...(await perplexities(output)), `${seconds.toFixed(0)} s`];
  process.stderr.write(`${cells.join("  ")}\n`);
  return cells;
}

const rows = [["dense", ...(await perplexities(model)), ""]];
for (const method of METHODS.filter(({ name }) => new RegExp(values.only).test(name))) rows.push(await row(method));
console.log(markdownTable(["method", "State of the Union", "Moby-Dick", "time"], rows));
