import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ExecutionError, InterruptedError, RecipeError } from "../src/errors.ts";
import { AWQModifier } from "../src/modifiers/awq.ts";
import type { Modifier } from "../src/modifiers/modifier.ts";
import { WandaPruningModifier } from "../src/modifiers/pruning/wanda.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { SmoothQuantModifier } from "../src/modifiers/smoothquant.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import type { ProgressEvent } from "../src/sequential/events.ts";
import { toFloat32 } from "../src/tensor/convert.ts";
import type { FloatDType } from "../src/tensor/dtype.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { childProcesses } from "./child-processes.ts";
import { folderBytes } from "./folder-bytes.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { calibrationRows, compressTinyModel, gptq } from "./tiny-model.ts";

/** Samples of different lengths, so that each is a batch of its own. */
const rows = calibrationRows.map(({ input_ids }, index) => ({ input_ids: input_ids.slice(index) }));
const newOutput = async () => join(await temporaryFolder(), "output");
const compress = (output: string, options: Partial<OneshotOptions> = {}) =>
  compressTinyModel({ output, dataset: rows, ...options });
const weightsIn = (output: string) => readSafetensors(join(output, "model.safetensors"));

/** Lets `act` see what a run tells. */
const when = (phase: string, subgraph: number, act: () => void) => (event: ProgressEvent) => {
  if (event.type === "phase" && event.phase === phase && event.subgraph === subgraph) act();
};

describe("with any number of workers", () => {
  const inputActivations = { numBits: 8, symmetric: true, dynamic: false, observer: "mse" } as const;
  const searched = { targets: ["re:.*_proj"], weights: { numBits: 8 }, inputActivations };
  const rounding = () => new QuantizationModifier({ scheme: "W8A16", ignore: ["lm_head"] });
  const recipes: [name: string, recipe: () => Modifier[]][] = [
    ["scales of activations, searched for", () => [new QuantizationModifier({ configGroups: { group: searched } })]],
    [
      "one scale for the activations of all data",
      () => [new QuantizationModifier({ scheme: "FP8", targets: ["Linear"] })],
    ],
    ["SmoothQuant, then rounding", () => [new SmoothQuantModifier(), rounding()]],
    ["AWQ", () => [new AWQModifier({ nGrid: 4 }), rounding()]],
    [
      "Wanda after OWL's survey",
      () => [new WandaPruningModifier({ sparsity: 0.5, sparsityProfile: "owl", owlM: 5, owlLmbda: 0.08 })],
    ],
  ];

  test.each(recipes)(
    "%s: the same to 1e-6",
    async (_, recipe) => {
      const outputs = [await newOutput(), await newOutput(), await newOutput()];
      for (const [index, output] of outputs.entries()) await compress(output, { recipe: recipe(), workers: index + 1 });
      const [expected, ...others] = outputs.map(weightsIn);
      for (const found of others) {
        expect([...found.keys()]).toEqual([...expected.keys()]);
        for (const [name, tensor] of found) expectClose(name, tensor, expected.get(name) as Tensor);
      }
    },
    300_000,
  );

  /** To 1e-6 of the largest value; of codes, which are whole and a byte each, now and then one is rounded the other way. */
  function expectClose(name: string, found: Tensor, expected: Tensor): void {
    if (!/^B?F(32|16)$/.test(found.dtype)) {
      const apart = Array.from(found.bytes, (byte, index) => Math.abs(byte - expected.bytes[index]));
      expect(Math.max(...apart), name).toBeLessThanOrEqual(1);
      expect(apart.filter((difference) => difference > 0).length / apart.length).toBeLessThan(1e-3);
      return;
    }
    const [values, others] = [found, expected].map((tensor) => toFloat32(tensor as Tensor<FloatDType>));
    const largest = others.data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(values, name).toBeAllClose(others, { atol: 1e-6 * largest });
  }

  test("GPTQ: the same bytes each time, stopped and gone on with or not", async () => {
    const [whole, output] = [await newOutput(), await newOutput()];
    await compress(whole, { workers: 2 });
    const controller = new AbortController();
    const onProgress = when("compressing", 2, () => controller.abort());
    const stopped = compress(output, { workers: 2, signal: controller.signal, onProgress });
    await expect(stopped).rejects.toThrow(InterruptedError);
    expect(childProcesses(process.pid)).toEqual([]);
    await expect(compress(output, { workers: 3, resume: true })).rejects.toThrow("option workers (2, now 3)");
    await compress(output, { workers: 2, resume: true });
    expect(await folderBytes(output)).toEqual(await folderBytes(whole));
  });

  test("more of them than batches are not started, with a warning", async () => {
    const warnings: string[] = [];
    const onProgress = (event: ProgressEvent) => {
      if (event.type === "warning") warnings.push(event.message);
    };
    await compress(await newOutput(), { workers: 9, dataset: rows.slice(0, 2), onProgress });
    expect(warnings).toContain("9 workers for 2 batches, expected at most as many: 2 are started.");
  });

  test("a modifier that no recipe can name is refused, and leaves nothing", async () => {
    const own: Modifier = {
      name: "Own",
      options: {},
      requiresCalibrationData: true,
      initialize() {},
      async compress() {},
    };
    const output = await newOutput();
    const refused = compress(output, { recipe: [gptq(), own], workers: 2 });
    await expect(refused).rejects.toThrow(
      new RecipeError(
        "Own: a modifier of your own, expected one that a recipe can name in other processes. Use one worker.",
      ),
    );
    expect(await readdir(join(output, ".."))).toEqual([]);
  });
});

describe("a worker that dies", () => {
  const kill = () => process.kill(childProcesses(process.pid)[1], "SIGKILL");

  test("ends the run with an error that names it, and the others with it; nothing is left", async () => {
    const output = await newOutput();
    const run = compress(output, { workers: 3, onProgress: when("propagating", 0, kill) });
    await expect(run).rejects.toThrow(ExecutionError);
    await expect(run).rejects.toThrow(/^worker process \d+: ended \(SIGKILL\), expected it to work on\. /);
    expect(childProcesses(process.pid)).toEqual([]);
    expect(await readdir(join(output, ".."))).toEqual([]);
  });

  test("after subgraphs are finished, the run can be gone on with and ends with the same bytes", async () => {
    const [whole, output] = [await newOutput(), await newOutput()];
    await compress(whole, { workers: 2 });
    const run = compress(output, { workers: 2, onProgress: when("calibrating", 2, kill) });
    await expect(run).rejects.toThrow(InterruptedError);
    expect(childProcesses(process.pid)).toEqual([]);
    await compress(output, { workers: 2, resume: true });
    expect(await folderBytes(output)).toEqual(await folderBytes(whole));
  });
});

test("workers end with the process that started them, however that is killed", async () => {
  const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
  const recipe = ["--recipe", here("../examples/gptq-w4a16.yaml"), "--dataset", here("../examples/calibration.jsonl")];
  const samples = ["--num-calibration-samples", "16", "--max-seq-length", "256", "--output", await newOutput()];
  const cli = [here("../dist/cli.js"), "compress", here("../examples/moby-tiny"), "--json", "--workers", "2"];
  const run = spawn(process.execPath, [...cli, ...recipe, ...samples], { stdio: ["ignore", "pipe", "ignore"] });
  for await (const text of run.stdout) if (String(text).includes("propagating")) break;
  const workers = childProcesses(run.pid as number);
  expect(workers).toHaveLength(2);
  run.kill("SIGKILL");
  await once(run, "exit");
  const isAlive = (pid: number) => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  while (workers.some(isAlive)) await sleep(10);
});
