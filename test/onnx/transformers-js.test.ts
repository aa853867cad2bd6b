import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { loadEvaluationWindows } from "../../src/data/evaluation.ts";
import { loadTokenizer } from "../../src/data/tokenizer.ts";
import { evaluate } from "../../src/evaluate/evaluate.ts";
import { exportModel } from "../../src/export/export-model.ts";
import { oneshot } from "../../src/oneshot.ts";
import type { ProgressEvent } from "../../src/sequential/events.ts";
import { departureOf, greedyChoices } from "./greedy-choices.ts";
import { runTransformersJs } from "./transformers-js.ts";

const here = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const [dense, evaluation] = [here("examples/moby-tiny"), here("examples/evaluation.txt")];
const [windows, length] = [8, 128];

const tokenizer = await loadTokenizer(dense);
const prompt = tokenizer.encode("The captain looked over the side of the ship, and", { addSpecialTokens: true });

/** Schemes of the compressed checkpoints, and the type of ONNX file that carries each. */
const CASES = [
  { dtype: "q4", scheme: "W4A16", weights: undefined },
  { dtype: "q4", scheme: "int4 asymmetric, group 32", weights: { num_bits: 4, symmetric: false, group_size: 32 } },
  { dtype: "q8", scheme: "W8A16", weights: undefined },
  { dtype: "q8", scheme: "W8A8", weights: undefined },
] as const;

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 }); // a process of its own for every run

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "layerwise-onnx-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe.each(CASES)("$scheme as $dtype", ({ dtype, scheme, weights }) => {
  let [compressed, exported] = ["", ""];
  beforeAll(async () => {
    [compressed, exported] = [join(root, scheme, "compressed"), join(root, scheme, "onnx")];
    await oneshot({ model: dense, recipe: recipeOf(scheme, weights), output: compressed });
    await exportModel({ model: compressed, format: ["onnx"], output: exported });
  });

  test("the scheme chooses the type, and transformers.js finds it", async () => {
    const config = JSON.parse(await readFile(join(exported, "config.json"), "utf8"));
    expect(config["transformers.js_config"]).toMatchObject({ dtype });
    expect(config.quantization_config).toBeUndefined();
    const file = dtype === "q4" ? "model_q4.onnx" : "model_quantized.onnx";
    expect((await readdir(join(exported, "onnx"))).sort()).toEqual(["checksums.json", file, `${file}_data`]);
  });

  test("transformers.js generates the tokens of our own evaluation, up to the first tie", async () => {
    const { tokens } = await runTransformersJs({ folder: exported, prompt, newTokens: 64 });
    expect(tokens.length).toBe(prompt.length + 64);
    const departure = departureOf(await greedyChoices(compressed, tokens), tokens, prompt.length);
    expect(departure?.lead ?? 0).toBeLessThan(NOISE);
  });

  test("its perplexity is within half a percent of the compressed checkpoint's", async () => {
    const batches = await loadEvaluationWindows(evaluation, { tokenizer, windows, length });
    const { loss } = await runTransformersJs({
      folder: exported,
      windows: batches.map(({ input_ids }) => Array.from(input_ids.data, Number)),
    });
    const { perplexity } = await evaluate({ model: compressed, dataset: evaluation, windows, length, threads: 1 });
    expect(Math.abs(Math.exp(loss) / perplexity - 1)).toBeLessThan(0.005);
  });
});

test("every type of a dense checkpoint loads, and in float16 it generates what it does in float32", async () => {
  const exported = join(root, "all");
  const dtypes = ["fp32", "fp16", "q8", "q4", "q4f16"];
  const warnings: string[] = [];
  const onProgress = (event: ProgressEvent) => event.type === "warning" && warnings.push(event.message);
  await exportModel({ model: dense, format: ["onnx"], dtype: dtypes, output: exported, onProgress });
  expect(warnings).toEqual([
    "q8, q4, q4f16: the checkpoint is dense; weights are rounded to nearest, without calibration. Compress it first.",
  ]);
  const generated = new Map<string, number[]>();
  for (const dtype of dtypes) {
    const { tokens } = await runTransformersJs({ folder: exported, dtype, prompt, newTokens: 8 });
    expect(tokens).toHaveLength(prompt.length + 8);
    generated.set(dtype, tokens);
  }
  expect(generated.get("fp16")).toEqual(generated.get("fp32"));
  expect(generated.get("q4f16")).toEqual(generated.get("q4"));
});

test("weights that are split over files load, and give the tokens of those that are not", async () => {
  const tokens: number[][] = [];
  for (const maxShardSize of [undefined, 1e6]) {
    const exported = join(root, `shards of ${maxShardSize}`);
    await exportModel({ model: dense, format: ["onnx"], dtype: ["fp32"], output: exported, maxShardSize });
    const data = (await readdir(join(exported, "onnx"))).filter((file) => file.includes("_data"));
    expect(data.length).toBe(maxShardSize === undefined ? 1 : 17);
    tokens.push((await runTransformersJs({ folder: exported, prompt, newTokens: 8 })).tokens);
  }
  expect(tokens[1]).toEqual(tokens[0]);
});

/** Of logits: a reader of the checkpoint rounds weights to bfloat16 once more than the ONNX file's reader does. */
const NOISE = 0.05;

function recipeOf(scheme: string, weights: object | undefined): string {
  const groups = { g: { targets: ["Linear"], weights: { type: "int", strategy: "group", ...weights } } };
  const quantization = weights ? { config_groups: groups } : { scheme, targets: ["Linear"] };
  const modifiers = { QuantizationModifier: { ...quantization, ignore: ["lm_head"] } };
  return JSON.stringify({ onnx_stage: { quantization_modifiers: modifiers } });
}
