import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { Checkpoint } from "../checkpoint/checkpoint.ts";
import { readHeader } from "../checkpoint/safetensors.ts";
import { InterruptedError } from "../errors.ts";
import { bindCheckpoint } from "../formats/bind-checkpoint.ts";
import { CompressedOutput } from "../formats/compressed-output.ts";
import { savedDType } from "../formats/output-plan.ts";
import type { Node } from "../fx/node.ts";
import { KernelPool } from "../kernels/pool.ts";
import { GPTQModifier } from "../modifiers/gptq.ts";
import type { CompressionStage, Modifier } from "../modifiers/modifier.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import { memorylessMinmax } from "../observers/minmax.ts";
import { add, silu } from "../ops/arithmetic.ts";
import { writeTensorFile } from "../output/tensor-file.ts";
import { createMatrixProducts } from "../runtime/matrix-products.ts";
import { computeQParams } from "../schemes/qparams.ts";
import { quantizeWeight } from "../schemes/quantize.ts";
import { fromFloat32, toFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { dispatchForSequential } from "./dispatch.ts";
import { compressInOrder } from "./pipeline.ts";
import { Stage, Statistics } from "./stage.ts";
import { traceSubgraphs } from "./trace-subgraphs.ts";
import { Weights } from "./weights.ts";

const WIDTH = 32;
const LINEARS = ["shared", "first", "second", "third"] as const;

/** Calls one linear before, between and after others, which are its neighbours' input. */
class Recurrent extends Module<void> {
  readonly shared = new Linear(WIDTH, WIDTH);
  readonly first = new Linear(WIDTH, WIDTH);
  readonly second = new Linear(WIDTH, WIDTH);
  readonly third = new Linear(WIDTH, WIDTH);
  forward(x: Node): Node {
    const once = this.first.call(silu(this.shared.call(x)));
    const twice = this.second.call(silu(this.shared.call(add(once, x))));
    return this.third.call(silu(this.shared.call(add(twice, x))));
  }
}

/** Values that are the same in every run. */
function noise(rows: number, columns: number, seed: number): Tensor<"F32"> {
  let state = seed;
  const next = () => {
    state = (state * 1664525 + 1013904223) % 2 ** 32;
    return state / 2 ** 32 - 0.5;
  };
  return new Tensor("F32", [rows, columns], Float32Array.from({ length: rows * columns }, next));
}

async function setUp() {
  const folder = await temporaryFolder();
  await mkdir(join(folder, "model"));
  await writeFile(join(folder, "model", "config.json"), "{}");
  const path = join(folder, "model", "model.safetensors");
  const weights = LINEARS.map(
    (name, index) => [`${name}.weight`, fromFloat32(noise(WIDTH, WIDTH, index), "BF16")] as const,
  );
  await writeTensorFile(path, new Map<string, Tensor>(weights));
  const tensors = new Map((await readHeader(path)).map((info) => [info.name, info]));
  const checkpoint = new Checkpoint(join(folder, "model"), {}, tensors);
  const kernels = await KernelPool.create(createMatrixProducts({ threads: 1 }), { threads: 1 });
  const close = () => Promise.all([checkpoint.close(), kernels.close()]);
  return { folder, checkpoint, kernels, close };
}

/** Compresses a recurrent model into `output`; stops once `parts` subgraphs are written. */
async function run(
  { folder, checkpoint, kernels }: Awaited<ReturnType<typeof setUp>>,
  name: string,
  parts = Number.POSITIVE_INFINITY,
): Promise<unknown> {
  const model = new Recurrent();
  bindCheckpoint(model, checkpoint);
  const group = { targets: ["Linear"], weights: { numBits: 4, groupSize: 16 } };
  const modifier = new GPTQModifier({ configGroups: { group } });
  modifier.initialize(model, { warn: () => {} });
  const options = { folder: join(folder, name), model, checkpoint, quantization: modifier.quantization, resume: true };
  const output = await CompressedOutput.open(options);
  try {
    const x = new Tensor("F32", [2, 40, WIDTH], noise(80, WIDTH, 99).data);
    const subgraphs = traceSubgraphs(model, { x }, [...LINEARS]);
    const dispatched = await dispatchForSequential(model, { device: "cpu", threads: 1 });
    const savedAs = (parameter: Parameter) => savedDType(parameter, "auto");
    const pipeline = { modifiers: [modifier], kernels, savedDType: savedAs, control: {}, finished: output.finished };
    for await (const modules of compressInOrder(subgraphs, dispatched, [{ x }, { x }], pipeline)) {
      await output.write(modules);
      if (modules.index + 1 >= parts) throw new Error("stopped");
    }
    await output.finish("");
    return undefined;
  } catch (error) {
    return output.abandon(error);
  }
}

test("a module that several subgraphs call is resumed with what its earlier calls saw", async () => {
  const setting = await setUp();
  expect(await run(setting, "whole")).toBeUndefined();
  const read = (name: string) => readFile(join(setting.folder, name, "model.safetensors"));
  for (const parts of [2, 3, 4, 5, 6]) {
    const name = `stopped-${parts}`;
    expect(await run(setting, name, parts)).toBeInstanceOf(InterruptedError);
    const left = await readdir(join(setting.folder, `${name}.partial`));
    expect(left.filter((file) => file.startsWith("statistics")).length).toBeLessThanOrEqual(1);
    await run(setting, name);
    expect((await read(name)).equals(await read("whole")), name).toBe(true);
  }
  await setting.close();
});

test("what a run propagates is what a reader of its output decodes", async () => {
  const setting = await setUp();
  const model = new Recurrent();
  bindCheckpoint(model, setting.checkpoint);
  const group = { targets: ["first", "second"], weights: { numBits: 3, groupSize: 16, symmetric: false } };
  const modifier = new GPTQModifier({ configGroups: { group } });
  modifier.initialize(model, { warn: () => {} });
  const { quantization } = modifier;
  const folder = join(setting.folder, "output");
  const output = await CompressedOutput.open({ folder, model, checkpoint: setting.checkpoint, quantization });
  const weights = new Weights(model);
  const context = { weights, statistics: new Statistics(), kernels: setting.kernels, control: {} };
  const stage = new Stage(0, model.namedModules(), { ...context, savedDType: () => "BF16" });
  await stage.apply(roundsAndScales(modifier));
  await output.write(stage);
  for (const name of LINEARS) {
    const propagated = await weights.load(model[name].weight);
    const reread = (await output.finished.parameter(model[name].weight)) ?? (await model[name].weight.load());
    expect(Buffer.compare(propagated.bytes, reread.bytes), name).toBe(0);
    if (name !== "shared") expect(propagated.data).not.toEqual((await model[name].weight.load()).data);
  }
  await output.abandon(undefined);
  await setting.close();
});

/** Rounds `first` and `second`, of which later subgraphs see the scaled `second`; scales `third`, saved dense. */
function roundsAndScales({ quantization: { schemes } }: GPTQModifier): Modifier {
  const scaled = async (stage: CompressionStage, module: Linear) => {
    const weight = toFloat32(await stage.weight(module));
    return new Tensor(
      "F32",
      weight.shape,
      weight.data.map((value) => value * 1.1),
    );
  };
  return {
    name: "Test",
    options: {},
    requiresCalibrationData: false,
    initialize() {},
    async compress(stage) {
      for (const [path, module] of stage.modules) {
        if (!(module instanceof Linear) || path === "shared") continue;
        if (path !== "first") stage.setWeight(module, await scaled(stage, module));
        const args = schemes.get(module)?.weights;
        if (!args) continue;
        const weight = await stage.weight(module);
        const quantized = quantizeWeight(
          weight,
          computeQParams(memorylessMinmax.observe(weight, args, path), args, weight.dtype),
          args,
          path,
        );
        stage.setQuantized(module, quantized, { propagate: path === "first" });
      }
    },
  };
}
