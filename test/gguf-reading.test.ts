import { Buffer as Bytes } from "node:buffer";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { loadTokenizer } from "../src/data/tokenizer.ts";
import { evaluate } from "../src/evaluate/evaluate.ts";
import { exportModel } from "../src/export/export-model.ts";
import { ExportSource } from "../src/export/export-source.ts";
import { modifierFor } from "../src/export/modifier-for.ts";
import { bindCheckpoint } from "../src/formats/bind-checkpoint.ts";
import { inspectCheckpoint } from "../src/formats/inspect.ts";
import { createModel } from "../src/models/registry.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { Buffer, type Parameter } from "../src/nn/parameter.ts";
import { oneshot } from "../src/oneshot.ts";
import { dequantizeWeight } from "../src/schemes/quantize.ts";
import { fromFloat32, toFloat32 } from "../src/tensor/convert.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { VARIED_STRINGS } from "./varied-strings.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const moby = here("../examples/moby-tiny");
const dataset = here("../examples/evaluation.txt");

/** Exports a checkpoint; returns the paths of its files. */
async function exportGguf(model: string, options: { dtype?: string[]; maxShardSize?: number } = {}): Promise<string[]> {
  const output = join(await temporaryFolder(), "gguf");
  await exportModel({ model, format: ["gguf"], output, ...options });
  return (await readdir(output)).sort().map((file) => join(output, file));
}

/** Parameters of an opened checkpoint by path. */
async function withParameters(path: string, use: (parameters: Map<string, Parameter>) => Promise<void>): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  try {
    const model = createModel(checkpoint.config);
    bindCheckpoint(model, checkpoint);
    await use(new Map(model.namedParameters().filter(([, parameter]) => !(parameter instanceof Buffer))));
  } finally {
    await checkpoint.close();
  }
}

test.each(["F32", "F16", "BF16"] as const)("a model comes back from a %s file", async (dtype) => {
  const [file] = await exportGguf(moby, { dtype: [dtype] });
  await withParameters(moby, async (originals) => {
    await withParameters(file, async (parameters) => {
      expect([...parameters.keys()]).toEqual([...originals.keys()]);
      for (const [path, original] of originals) {
        const expected = await original.load();
        const rounded = original.shape.length === 1 ? expected : toFloat32(fromFloat32(expected, dtype));
        const found = (await parameters.get(path)?.load())?.bytes ?? new Uint8Array();
        expect(Bytes.compare(found, rounded.bytes), path).toBe(0);
      }
    });
  });
});

/** What a weight may lose, in its largest steps. */
const LOSSES: Readonly<Record<string, number>> = { Q4_1: 1 / 128, Q4_K: 0.25, Q6_K: 0.15 };

test.each(["Q8_0", "Q4_0", "Q4_1", "Q4_K", "Q6_K"])(
  "calibrated codes and scales lie in a %s file as they were",
  async (dtype) => {
    const folder = join(await temporaryFolder(), "quantized");
    const weights = modifierFor("gguf", dtype).options.configGroups?.group_0.weights;
    const configGroups = { group_0: { targets: ["Linear"], weights } };
    await oneshot({
      model: moby,
      recipe: new QuantizationModifier({
        configGroups,
        ignore: ["lm_head"],
        weightObserver: "memoryless_minmax", // without data
      }),
      output: folder,
    });
    const [file] = await exportGguf(folder, { dtype: [dtype] });
    const source = await ExportSource.open(folder);
    await withParameters(file, async (parameters) => {
      for (const path of source.compressed.keys()) {
        const quantized = await source.quantizedWeight(path);
        if (!quantized) throw new Error(path);
        const expected = dequantizeWeight({ ...quantized, scale: toFloat32(quantized.scale) });
        const found = await parameters.get(`${path}.weight`)?.load();
        // the offset of Q4_1 is a product, which float16 rounds; scales of K types have 6 and 8 bits
        const atol = (LOSSES[dtype] ?? 0) * Math.max(...toFloat32(quantized.scale).data);
        expect(found).toBeAllClose(expected, { atol });
      }
    });
    await source.close();
  },
  60_000,
);

test("rounding scales to 6 bits leaves the perplexity of calibrated weights as it is", async () => {
  const folder = join(await temporaryFolder(), "quantized");
  await oneshot({
    model: moby,
    recipe: modifierFor("gguf", "Q4_K"),
    dataset,
    numCalibrationSamples: 8,
    output: folder,
  });
  const [file] = await exportGguf(folder, { dtype: ["Q4_K"] });
  const settings = { dataset, windows: 2, length: 64, threads: 1 };
  const [found, expected] = [
    await evaluate({ model: file, ...settings }),
    await evaluate({ model: folder, ...settings }),
  ];
  expect(Math.abs(found.perplexity / expected.perplexity - 1)).toBeLessThan(0.005);
}, 60_000);

test("a weight that is not calibrated is not written as Q4_K", async () => {
  await expect(exportGguf(moby, { dtype: ["Q4_K"] })).rejects.toThrow(
    "Q4_K: weights that are not quantized, expected calibrated ones. Compress the model with --scheme-for gguf --dtype Q4_K.",
  );
});

test("the tokenizer that a file holds is the original one", async () => {
  const [file] = await exportGguf(moby);
  const checkpoint = await openCheckpoint(file);
  const [found, original] = [await loadTokenizer(checkpoint.folder), await loadTokenizer(moby)];
  for (const text of VARIED_STRINGS) {
    expect(found.encode(text, { addSpecialTokens: true })).toEqual(original.encode(text, { addSpecialTokens: true }));
  }
  expect(found.eosTokenId).toBe(original.eosTokenId);
  await checkpoint.close();
});

test("a model split over several files is read from the first", async () => {
  const files = await exportGguf(moby, { maxShardSize: 2e6 });
  expect(files.length).toBeGreaterThan(2);
  expect(files[0]).toMatch(/moby-tiny-F16-00001-of-0000\d\.gguf$/);
  const { parameters } = await inspectCheckpoint(files[0]);
  expect(parameters).toBe((await inspectCheckpoint(moby)).parameters);
});

test("inspect, eval and compress take a GGUF file", async () => {
  const [file] = await exportGguf(moby, { dtype: ["Q8_0"] });
  const summary = await inspectCheckpoint(file);
  expect(summary.storage.map(({ format, weights }) => `${format} ${weights}`)).toEqual(["dense Q8_0", "dense F32"]);
  const settings = { dataset, windows: 2, length: 64, threads: 1 };
  const [found, original] = [
    await evaluate({ model: file, ...settings }),
    await evaluate({ model: moby, ...settings }),
  ];
  expect(found.perplexity / original.perplexity).toBeCloseTo(1, 1);
  const output = join(await temporaryFolder(), "compressed");
  const scheme = { targets: ["Linear"], weights: { numBits: 4, groupSize: 32 } };
  const recipe = new QuantizationModifier({ configGroups: { group_0: scheme }, ignore: ["lm_head"] });
  await oneshot({ model: file, recipe, output, precision: "BF16" });
  expect((await evaluate({ model: output, ...settings })).perplexity / original.perplexity).toBeLessThan(1.2);
  expect(await readdir(output)).toContain("tokenizer.json");
});
