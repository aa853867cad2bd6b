import { cp, open, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { CheckpointError, CompressionError, DataError, RecipeError } from "../src/errors.ts";
import type { GPTQOptions } from "../src/modifiers/gptq.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { oneshot } from "../src/oneshot.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import type { ProgressEvent } from "../src/sequential/events.ts";
import { version } from "../src/version.ts";
import { folderBytes } from "./folder-bytes.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { calibrationRows, compressTinyModel, gptq, int4, TINY_MODEL } from "./tiny-model.ts";

/** Runs on the tiny model of the fixtures; returns the tensors of the output, the events, and the folder around it. */
async function run(options: Partial<OneshotOptions> = {}) {
  const folder = await temporaryFolder();
  const output = join(folder, "output");
  const events: ProgressEvent[] = [];
  await compressTinyModel({ output, onProgress: (event) => events.push(event), ...options });
  const read = (file = "model.safetensors") => readSafetensors(join(output, file));
  return { folder, output, events, read };
}

/** A copy of the model in which the value at `index` of a tensor is another. */
async function damaged(tensor: string, index: number, value: number): Promise<string> {
  const copy = join(await temporaryFolder(), "model");
  await cp(TINY_MODEL, copy, { recursive: true });
  const checkpoint = await openCheckpoint(copy);
  const begin = checkpoint.tensors.get(tensor)?.begin as number;
  await checkpoint.close();
  const file = await open(join(copy, "model.safetensors"), "r+");
  await file.write(new Uint8Array(Float32Array.of(value).buffer), 0, 4, begin + 4 * index);
  await file.close();
  return copy;
}

const packed = (layer: number, module: string) => `model.layers.${layer}.${module}.weight_packed`;

describe("what later subgraphs are calibrated on", () => {
  test("without propagate_error the first layer stays the same and the second does not", async () => {
    const [on, off] = [(await run()).read(), (await run({ propagateError: false })).read()];
    expect(off.get(packed(0, "mlp.down_proj"))).toEqual(on.get(packed(0, "mlp.down_proj")));
    expect(off.get(packed(1, "mlp.down_proj"))).not.toEqual(on.get(packed(1, "mlp.down_proj")));
  });

  test("two layers in one subgraph equal no propagation, on two layers", async () => {
    const [together, off] = [
      (await run({ sequentialTargetsPerSubgraph: 2 })).read(),
      (await run({ propagateError: false })).read(),
    ];
    for (const [name, tensor] of off) expect(together.get(name), name).toEqual(tensor);
  });

  test("in one pass, a linear is calibrated on what the compressed ones of its own layer give", async () => {
    const [two, one] = [(await run()).read(), (await run({ onePass: true })).read()];
    expect(one.get(packed(0, "self_attn.q_proj"))).toEqual(two.get(packed(0, "self_attn.q_proj")));
    expect(one.get(packed(0, "mlp.down_proj"))).not.toEqual(two.get(packed(0, "mlp.down_proj")));
  });

  test("a recipe may name the sequential targets; together with the run's own they are an error that names both", async () => {
    const recipe = `GPTQModifier: {ignore: [lm_head], scheme: W4A16, sequential_targets: [Linear]}`;
    const { events } = await run({ recipe });
    expect(events.find(({ type }) => type === "phase")).toMatchObject({ subgraphs: 16 });
    await expect(run({ recipe, sequentialTargets: ["LlamaMLP"] })).rejects.toThrow(
      "sequential targets: given by GPTQModifier and the argument sequentialTargets, expected one of them.",
    );
  });

  test("batches of other sizes and lengths give the same scales", async () => {
    const uneven = calibrationRows.map(({ input_ids }, index) => ({ input_ids: input_ids.slice(0, 32 - index) }));
    const [even, other] = [(await run()).read(), (await run({ dataset: uneven })).read()];
    const scale = "model.layers.0.self_attn.q_proj.weight_scale";
    expect(other.get(scale)).toEqual(even.get(scale));
    expect(other.get(packed(0, "self_attn.q_proj"))).not.toEqual(even.get(packed(0, "self_attn.q_proj")));
  });
});

describe("the order of a run", () => {
  test("each subgraph is calibrated, compressed, propagated; the last is not propagated (D6)", async () => {
    const { events } = await run();
    const phases = events.flatMap((event) => (event.type === "phase" ? [`${event.subgraph} ${event.phase}`] : []));
    expect(phases).toEqual([
      "0 compressing",
      "0 propagating",
      "1 calibrating",
      "1 compressing",
      "1 propagating",
      "2 calibrating",
      "2 compressing",
    ]);
  });

  test("what leaves the outputs of subgraphs alone runs each once: for what it observes, and for those after it (D6)", async () => {
    const { events } = await run({ recipe: "QuantizationModifier: {scheme: FP8, ignore: [lm_head]}" });
    const phases = events.flatMap((event) => (event.type === "phase" ? [`${event.subgraph} ${event.phase}`] : []));
    expect(phases.filter((phase) => !phase.endsWith("compressing"))).toEqual([
      "0 propagating",
      "1 calibrating",
      "2 calibrating",
    ]);
  });

  test("every quantized module is reported once, with its error", async () => {
    const { events } = await run();
    const reports = events.filter((event) => event.type === "module");
    expect(reports).toHaveLength(14);
    expect(new Set(reports.map(({ module }) => module)).size).toBe(14);
    for (const { error } of reports) expect(error).toBeGreaterThan(0);
  });
});

describe("numbers that GPTQ cannot work with", () => {
  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "%d in a weight names the module, and nothing is written",
    async (value) => {
      const model = await damaged("model.layers.1.mlp.up_proj.weight", 130, value);
      const folder = await temporaryFolder();
      await expect(run({ model, output: join(folder, "output") })).rejects.toThrow(CompressionError);
      await expect(run({ model, output: join(folder, "output"), selfCheck: false })).rejects.toThrow(
        "model.layers.1.mlp.up_proj",
      );
      expect(await readdir(folder)).toEqual([]);
    },
  );

  test("activations that are not finite name the module that reads them", async () => {
    const model = await damaged("model.layers.1.input_layernorm.weight", 3, 1e38);
    await expect(run({ model, selfCheck: false })).rejects.toThrow(/^model\.layers\.1\..*not finite/);
  });

  test("a Hessian that is not positive definite falls back to rounding, with one warning that names the modules", async () => {
    const { events, read } = await run({ recipe: gptq({ dampeningFrac: 0 }), numCalibrationSamples: 1 });
    const warnings = events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
    const hessian = warnings.filter((message) => message.includes("Hessian"));
    expect(hessian).toHaveLength(1);
    expect(hessian[0]).toContain("model.layers.0.mlp.down_proj");
    const configGroups = { group: { targets: ["Linear"], weights: int4 } };
    const rounded = (await run({ recipe: new QuantizationModifier({ ignore: ["lm_head"], configGroups }) })).read();
    expect(read().get(packed(0, "mlp.down_proj"))).toEqual(rounded.get(packed(0, "mlp.down_proj")));
  });
});

describe("options of GPTQ", () => {
  test("the block size changes nothing", async () => {
    const [a, b] = [(await run()).read(), (await run({ recipe: gptq({ blockSize: 16 }) })).read()];
    for (const [name, tensor] of a) expect(b.get(name), name).toEqual(tensor);
  });

  test("sweeps of refinement make the error of every module of the first layer smaller, in the format as it was", async () => {
    const [plain, refined] = [await run(), await run({ recipe: gptq({ refinementSweeps: 2 }) })];
    const [before, after] = [plain, refined].map(({ events }) => events.filter(({ type }) => type === "module"));
    for (const [index, report] of after.slice(0, 7).entries()) {
      const { module, error } = report as Extract<ProgressEvent, { type: "module" }>;
      expect(before[index]).toMatchObject({ module });
      expect(error, module).toBeLessThan((before[index] as typeof report & { error: number }).error);
    }
    expect([...refined.read().keys()]).toEqual([...plain.read().keys()]);
  });

  test("the preset best is its options under one name, each of which may be overruled", async () => {
    const [best, spelled, overruled] = await Promise.all(
      [
        { recipe: gptq({ preset: "best" }) },
        { recipe: gptq({ weightObserver: "imatrix_mse" }) },
        { recipe: gptq({ preset: "best", weightObserver: "memoryless_minmax" }) },
      ].map(run),
    );
    const packedOf = ({ read }: typeof best) => read().get(packed(1, "mlp.down_proj"));
    expect(packedOf(best)).toEqual(packedOf(spelled));
    expect(packedOf(overruled)).toEqual(packedOf(await run()));
  });

  test("weight and static are the same order, null is another", async () => {
    const read = async (actorder: GPTQOptions["actorder"]) =>
      (await run({ recipe: gptq({ actorder }) })).read().get(packed(0, "mlp.down_proj"));
    expect(await read("weight")).toEqual(await read("static"));
    expect(await read(null)).not.toEqual(await read("static"));
  });

  test.each(["tensor", "channel"] as const)("strategy %s runs, symmetric and asymmetric", async (strategy) => {
    for (const symmetric of [true, false]) {
      const configGroups = { group: { targets: ["Linear"], weights: { numBits: 8, strategy, symmetric } } };
      const { events } = await run({ recipe: gptq({ configGroups }) });
      expect(events.filter(({ type }) => type === "module")).toHaveLength(14);
    }
  });

  test("a group size that does not divide names every module, before any work", async () => {
    const configGroups = { group: { targets: ["Linear"], weights: { numBits: 4, groupSize: 48 } } };
    const error = await run({ recipe: gptq({ configGroups }) }).catch((thrown) => thrown);
    expect(error).toBeInstanceOf(RecipeError);
    expect(error.message.split("\n")).toHaveLength(14);
    expect(error.message).toContain(
      "model.layers.0.self_attn.q_proj: 128 columns, expected a multiple of group_size 48. " +
        "Change group_size (32 or 64 would do) or add it to ignore.",
    );
  });

  test("targets that match nothing, and ignoring everything, are errors", async () => {
    expect(() => gptq({ scheme: "W4A16" })).toThrow("both scheme and config_groups");
    const typo = gptq({ configGroups: { group: { targets: ["Liner"], weights: int4 } } });
    await expect(run({ recipe: typo })).rejects.toThrow(/^Liner: matches no module.*Nearest: Linear/);
    await expect(run({ recipe: gptq({ ignore: ["Linear"] }) })).rejects.toThrow("no module left to quantize");
  });
});

describe("the output", () => {
  test("an existing folder is refused, and replaced where asked for", async () => {
    const { output } = await run();
    await expect(run({ output })).rejects.toThrow(CheckpointError);
    await expect(run({ output })).rejects.toThrow("--overwrite");
    const before = await readFile(join(output, "model.safetensors"));
    await oneshot({
      model: TINY_MODEL,
      recipe: "QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}",
      output,
      overwrite: true,
    });
    expect((await readFile(join(output, "model.safetensors"))).equals(before)).toBe(false);
  });

  test.each([2, 3, 4])("%i threads write the same bytes as one", async (threads) => {
    const [one, more] = [await run(), await run({ threads })];
    expect(await folderBytes(more.output)).toEqual(await folderBytes(one.output));
  });

  test("threads write the same bytes as one in a run that is shorter than the linears are wide", async () => {
    const short = { maxSeqLength: 8, numCalibrationSamples: 1 };
    const [one, more] = [await run(short), await run({ ...short, threads: 4 })];
    expect(await folderBytes(more.output)).toEqual(await folderBytes(one.output));
  });

  test("shards stay under the limit and have an index", async () => {
    const { output } = await run({ maxShardSize: 100_000 });
    const files = (await readdir(output)).filter((file) => file.endsWith(".safetensors"));
    expect(files.length).toBeGreaterThan(1);
    const whole = (await run()).read();
    const checkpoint = await openCheckpoint(output);
    for (const [name, tensor] of whole) expect(await checkpoint.read(name), name).toEqual(tensor);
    await checkpoint.close();
  });

  test("tokenizer and generation files are carried over, the recipe reads back", async () => {
    const { output } = await run();
    expect((await readdir(output)).sort()).toEqual([
      "checksums.json",
      "config.json",
      "generation_config.json",
      "model.safetensors",
      "recipe.yaml",
      "tokenizer.json",
      "tokenizer_config.json",
    ]);
    const again = await run({ recipe: join(output, "recipe.yaml") });
    expect(again.read()).toEqual(readSafetensors(join(output, "model.safetensors")));
    const facts = async (folder: string) => (await readFile(join(folder, "recipe.yaml"), "utf8")).match(/^# .*/gm);
    expect(await facts(again.output)).toEqual(await facts(output));
  });

  test("the recipe that is written tells all that the run was given beside it", async () => {
    const { output } = await run({ precision: "BF16", seed: 7 });
    const lines = (await readFile(join(output, "recipe.yaml"), "utf8")).split("\n");
    const facts = lines.filter((line) => line.startsWith("# ")).map((line) => line.slice(2));
    expect(facts).toEqual(
      expect.arrayContaining(["seed: 7", 'precision: "BF16"', 'dataset: "rows"', 'model: "model"']),
    );
    expect(facts.find((fact) => fact.startsWith("layerwise: "))).toBe(`layerwise: "${version}"`);
    expect(facts.find((fact) => fact.startsWith("calibration_data_sha256: "))).toMatch(/"[0-9a-f]{64}"$/);
  });

  test("BF16 is what is asked for: scales and dense tensors are saved in it", async () => {
    const { read, output } = await run({ precision: "BF16" });
    expect(read().get("model.layers.0.self_attn.q_proj.weight_scale")?.dtype).toBe("BF16");
    expect(read().get("model.norm.weight")?.dtype).toBe("BF16");
    expect(JSON.parse(await readFile(join(output, "config.json"), "utf8")).dtype).toBe("bfloat16");
  });

  test("a run that is aborted before anything is finished leaves nothing behind", async () => {
    const folder = await temporaryFolder();
    const controller = new AbortController();
    const onProgress = (event: ProgressEvent) => {
      if (event.type === "phase" && event.phase === "calibrating") controller.abort();
    };
    const { signal } = controller;
    await expect(run({ output: join(folder, "output"), onProgress, signal })).rejects.toThrow("abort");
    expect(await readdir(folder)).toEqual([]);
  });

  test("an existing output is refused before any work", async () => {
    const { output } = await run();
    const events: ProgressEvent[] = [];
    await expect(run({ output, onProgress: (event) => events.push(event) })).rejects.toThrow("exists already");
    expect(events.filter(({ type }) => type === "module")).toEqual([]);
  });
});

describe("data", () => {
  test("a recipe that needs data says so, naming the modifier", async () => {
    await expect(run({ dataset: undefined })).rejects.toThrow("GPTQModifier: no calibration data, expected a dataset.");
  });

  test("a row without tokens to make is a DataError", async () => {
    await expect(run({ dataset: [{ label: 1 }] })).rejects.toThrow(DataError);
  });
});
