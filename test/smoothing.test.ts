import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { KernelPool } from "../src/kernels/pool.ts";
import { AWQModifier } from "../src/modifiers/awq.ts";
import { initializeModifiers } from "../src/modifiers/initialize.ts";
import type { CompressionStage, Modifier } from "../src/modifiers/modifier.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { SmoothQuantModifier } from "../src/modifiers/smoothquant.ts";
import type { Module } from "../src/nn/module.ts";
import { oneshot } from "../src/oneshot.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import { createMatrixProducts } from "../src/runtime/matrix-products.ts";
import type { ModelQuantization } from "../src/schemes/quantized-values.ts";
import { dispatchForSequential } from "../src/sequential/dispatch.ts";
import type { ProgressEvent } from "../src/sequential/events.ts";
import { compressInOrder } from "../src/sequential/pipeline.ts";
import { traceSubgraphs } from "../src/sequential/trace-subgraphs.ts";
import type { FloatDType } from "../src/tensor/dtype.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { FIXTURE_MODELS, loadFixtureModel, readGoldenLogits } from "./fixture-model.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { recordQuantized } from "./record-quantized.ts";
import { runSequentially } from "./run-model.ts";
import { SecondMoments } from "./second-moments.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const fixture = (path: string) => new URL(`./fixtures/${path}`, import.meta.url);
const golden = readSafetensors(fixture("smoothing/golden.safetensors"));
const SMOOTHED_FAMILIES = FIXTURE_MODELS.filter((name) => name !== "gpt2");
const group = (symmetric: boolean) => ({ targets: ["Linear"], weights: { numBits: 4, symmetric, groupSize: 32 } });
const int4 = (symmetric: boolean) =>
  new QuantizationModifier({ ignore: ["lm_head"], configGroups: { group: group(symmetric) } });

/** Rows of token ids, as a data set. */
function rowsOf(ids: Tensor): { input_ids: number[] }[] {
  const [rows, length] = ids.shape;
  return Array.from({ length: rows }, (_, row) => ({
    input_ids: Array.from(ids.data.subarray(row * length, (row + 1) * length), Number),
  }));
}

/** Compresses a checkpoint of the fixtures on its calibration data; returns what is written. */
async function compress(
  model: string,
  ids: Tensor,
  recipe: OneshotOptions["recipe"],
  options: Partial<OneshotOptions> = {},
): Promise<ReadonlyMap<string, Tensor>> {
  const output = join(await temporaryFolder(), "output");
  await oneshot({
    model: fileURLToPath(fixture(model)),
    recipe,
    dataset: rowsOf(ids),
    output,
    threads: 1,
    shuffleCalibrationSamples: false,
    numCalibrationSamples: 8,
    ...options,
  });
  return readSafetensors(join(output, "model.safetensors"));
}

/** Runs modifiers on a fixture's model; returns the parameters that they changed. */
async function changedBy(
  name: string,
  modifiers: readonly Modifier[],
  { targets, memoryBudget }: { targets?: readonly string[]; memoryBudget?: number } = {},
): Promise<Map<string, Tensor>> {
  const model = loadFixtureModel(name);
  initializeModifiers(modifiers, model, { warn: () => {} });
  const batch = batchOf(name);
  const subgraphs = traceSubgraphs(model, batch, targets ?? model.noSplitModules);
  const kernels = await KernelPool.create(createMatrixProducts({ threads: 1 }), { threads: 1 });
  const dispatched = await dispatchForSequential(model, { device: "cpu", threads: 1 });
  const options = { modifiers, kernels, savedDType: (): FloatDType => "F32", control: {}, memoryBudget };
  const paths = new Map(model.namedParameters().map(([path, parameter]) => [parameter, path]));
  const changed = new Map<string, Tensor>();
  try {
    for await (const { parameters } of compressInOrder(subgraphs, dispatched, [batch, batch], options))
      for (const [parameter, value] of parameters) changed.set(paths.get(parameter) as string, value);
  } finally {
    await kernels.close();
  }
  return changed;
}

function batchOf(name: string): Record<"input_ids" | "attention_mask", Tensor> {
  const tensors = readGoldenLogits(name);
  return {
    input_ids: tensors.get("input_ids") as Tensor,
    attention_mask: tensors.get("attention_mask") as Tensor,
  };
}

/** Says how linears will be quantized, and leaves them as they are. */
class PretendedQuantization implements Modifier {
  readonly name = "PretendedQuantization";
  readonly options = {};
  readonly requiresCalibrationData = false;
  quantization: ModelQuantization = { schemes: new Map(), kvCacheScheme: null };

  initialize(model: Module): void {
    const quantization = int4(false);
    quantization.initialize(model, { warn: () => {} });
    this.quantization = quantization.quantization;
  }

  async compress(): Promise<void> {}
}

/** What each norm was divided by. */
function factorsOf(before: ReadonlyMap<string, Tensor>, after: ReadonlyMap<string, Tensor>, path: string): Tensor {
  const [old, found] = [before, after].map((tensors) => tensors.get(`${path}.weight`) as Tensor<"F32">);
  return new Tensor(
    "F32",
    old.shape,
    Float32Array.from(old.data, (value, index) => value / found.data[index]),
  );
}

const NORMS = [0, 1].flatMap((layer) =>
  ["input_layernorm", "post_attention_layernorm"].map((norm) => `model.layers.${layer}.${norm}`),
);

describe("the reference's factors are met to 1e-5", () => {
  const model = "smoothing/llama";
  const before = readSafetensors(fixture(`${model}/model.safetensors`));
  const ids = golden.get("input_ids") as Tensor;

  function expectFactors(run: string, after: ReadonlyMap<string, Tensor>): void {
    for (const norm of NORMS) {
      const { data, shape } = golden.get(`${run}/${norm}.scales`) as Tensor;
      const expected = new Tensor("F32", shape, Float32Array.from(data as Float32Array));
      expect(factorsOf(before, after, norm)).toBeAllClose(expected, { atol: 0, rtol: 1e-5 });
    }
  }

  test.each([
    ["smoothquant-0.5", "SmoothQuantModifier: {}"],
    ["log-equalization", "LogarithmicEqualizationModifier: {}"],
    ["log-equalization", "SmoothQuantModifier: {algorithm: log_equalization}"],
    [
      "smoothquant-0.5",
      "SmoothQuantModifier:\n  mappings:\n  - [['re:.*q_proj', 're:.*k_proj', 're:.*v_proj'], 're:.*input_layernorm']\n" +
        "  - [['re:.*gate_proj', 're:.*up_proj'], 're:.*post_attention_layernorm']",
    ],
  ])("%s, by %j", async (run, recipe) => {
    expectFactors(run, await compress(model, ids, recipe));
  });

  test.each([
    ["awq-g32-asym", new AWQModifier(), false],
    ["awq-g32-sym-noduo", new AWQModifier({ duoScaling: false, nGrid: 10 }), true],
  ] as const)("%s: the same points of the grid, and the same codes", async (run, awq, symmetric) => {
    const quantization = int4(symmetric);
    const codes = recordQuantized(quantization);
    expectFactors(run, await compress(model, ids, [awq, quantization]));
    expect(codes.size).toBe(14);
    let [equal, count] = [0, 0];
    for (const [path, { codes: found }] of codes) {
      const expected = golden.get(`${run}/${path}.q`) as Tensor<"I8">;
      // a symmetric scale puts the largest weight on the tie of -8 and -7, which the last bit of a factor decides
      const isEqual = (code: number, other: number) => code === other || (symmetric && Math.max(code, other) === -7);
      equal += found.data.filter((code, index) => isEqual(code, expected.data[index])).length;
      count += found.data.length;
    }
    expect(equal).toBe(count);
  });

  test("AWQ before NVFP4, where linears that are multiplied as one share a global scale", async () => {
    const reference = readSafetensors(fixture("smoothing/awq-nvfp4.safetensors"));
    const written = await compress(
      model,
      ids,
      "AWQModifier: {}\nQuantizationModifier: {scheme: NVFP4A16, ignore: [lm_head]}",
    );
    for (const [name, expected] of reference) {
      const found = name.endsWith(".scales")
        ? factorsOf(before, written, name.replace(".scales", ""))
        : written.get(name);
      expect(found, name).toBeAllClose(expected, { atol: 0, rtol: 1e-5 });
    }
  });

  test.each([
    ["alone", "SmoothQuantModifier: {smoothing_strength: 0.8}", NORMS],
    // the reference smooths the whole model before it quantizes; here layer 1 sees what layer 0 gives when it is quantized
    ["before GPTQ", fileURLToPath(fixture("recipes/smoothquant-gptq-w8a8.yaml")), NORMS.slice(0, 2)],
  ])("smoothquant-0.8, %s", async (_, recipe, norms) => {
    const samples = readSafetensors(fixture("compressed/calibration.safetensors")).get("input_ids") as Tensor;
    const smoothed = await compress("compressed/model", samples, recipe);
    for (const norm of norms) {
      const expected = golden.get(`smoothquant-0.8/${norm}.weight`) as Tensor;
      expect(smoothed.get(`${norm}.weight`)).toBeAllClose(expected, { atol: 0, rtol: 1e-5 });
    }
  });
});

describe.each(SMOOTHED_FAMILIES)("the logits of %s stay the same", (name) => {
  test.each([
    ["SmoothQuant", () => [new SmoothQuantModifier({ smoothingStrength: 0.8 })]],
    ["AWQ", () => [new AWQModifier({ nGrid: 4 }), new PretendedQuantization()]],
  ] as const)("under %s", async (_, modifiers) => {
    const changed = await changedBy(name, modifiers());
    const [before, after] = [loadFixtureModel(name), loadFixtureModel(name, {}, changed)];
    const parameters = new Map(before.namedParameters());
    const moved = [...changed].map(
      async ([path, value]) => String((await parameters.get(path)?.load())?.data) !== String(value.data),
    );
    expect(await Promise.all(moved)).toContain(true);
    const expected = await runSequentially(before, batchOf(name));
    expect(await runSequentially(after, batchOf(name))).toBeAllClose(expected, { atol: 2e-4, rtol: 2e-5 });
  });
});

describe("in one pass", () => {
  const ids = golden.get("input_ids") as Tensor;

  test.each([
    ["SmoothQuant", () => [new SmoothQuantModifier()]],
    ["AWQ", () => [new AWQModifier({ nGrid: 4 }), int4(false)]],
  ] as const)("%s divides norms by the same factors as in two", async (_, modifiers) => {
    const [two, one] = [
      await compress("smoothing/llama", ids, modifiers()),
      await compress("smoothing/llama", ids, modifiers(), { onePass: true }),
    ];
    for (const path of NORMS.map((norm) => `${norm}.weight`))
      expect(one.get(path), path).toBeAllClose(two.get(path) as Tensor, { atol: 0, rtol: 1e-4 });
  });

  test.each([
    ["GPTQModifier: {ignore: [lm_head], scheme: W8A8}", 10], // embedding, (qkv, o, gate and up, down) twice, lm_head
    ["SmoothQuantModifier: {}\nGPTQModifier: {ignore: [lm_head], scheme: W8A8}", 10], // the norms with their linears
    ["AWQModifier: {n_grid: 4}\nGPTQModifier: {ignore: [lm_head], scheme: W8A8}", 6], // attention and feed-forward
  ])("%s: what is changed together lies in one of %i subgraphs", async (recipe, expected) => {
    const counts = new Set<number>();
    const onProgress = (event: ProgressEvent) => {
      if (event.type === "phase") counts.add(event.subgraphs);
    };
    await compress("smoothing/llama", ids, recipe, { onePass: true, onProgress });
    expect([...counts]).toEqual([expected]);
  });
});

test("a modifier after SmoothQuant observes the smoothed inputs", async () => {
  const observe = () => new SecondMoments((module) => module.constructor.name === "Linear");
  const [plain, smoothed] = [observe(), observe()];
  const path = "model.layers.1.self_attn.q_proj";
  await changedBy("llama", [plain]);
  const changed = await changedBy("llama", [new SmoothQuantModifier({ smoothingStrength: 0.8 }), smoothed]);
  const before = new Map(
    await Promise.all(
      loadFixtureModel("llama")
        .namedParameters()
        .map(async ([name, parameter]) => [name, await parameter.load()] as const),
    ),
  );
  const factors = factorsOf(before, changed, "model.layers.1.input_layernorm").data as Float32Array;
  const moment = plain.moments.get(path) as Tensor<"F32">;
  const [size] = moment.shape;
  const expected = moment.data.map((value, i) => value / factors[Math.floor(i / size)] / factors[i % size]);
  const scale = Math.max(...expected.map(Math.abs));
  expect(smoothed.moments.get(path)).toBeAllClose(new Tensor("F32", [size, size], expected), { atol: 1e-5 * scale });
});

test("what AWQ keeps of a module may lie in a file", async () => {
  const run = (memoryBudget?: number) =>
    changedBy("mixtral", [new AWQModifier({ nGrid: 4 }), new PretendedQuantization()], { memoryBudget });
  const [inMemory, inFile] = [await run(), await run(0)];
  expect(inMemory.size).toBeGreaterThan(0);
  expect([...inFile]).toEqual([...inMemory]);
});

test("parameters that change what a subgraph computes are refused by the name of their mapping", async () => {
  const spoiler: Modifier = {
    name: "Spoiler",
    options: {},
    requiresCalibrationData: true,
    coupled: [],
    initialize() {},
    async compress(stage: CompressionStage) {
      for (const [path, module] of stage.modules) {
        if (!path.endsWith("layers.1.post_attention_layernorm")) continue;
        const [[, weight]] = module.ownParameters();
        const { data, shape } = await stage.parameter(weight);
        const halved = new Tensor(
          "F32",
          shape,
          Float32Array.from(data, (value) => value / 2),
        );
        await stage.setEquivalent("post_attention_layernorm → nothing", new Map([[weight, halved]]));
      }
    },
  };
  await expect(changedBy("llama", [spoiler])).rejects.toThrow(
    /^post_attention_layernorm → nothing: with other parameters that should change nothing, logits differs by \d/,
  );
});

test("mappings that several subgraphs share are refused before any work", async () => {
  await expect(changedBy("llama", [new SmoothQuantModifier()], { targets: ["Linear"] })).rejects.toThrow(
    "model.layers.0.input_layernorm → q_proj, k_proj, v_proj: called in 4 subgraphs, expected all of it in one. " +
      "Trace the subgraphs with these modules together.",
  );
});
