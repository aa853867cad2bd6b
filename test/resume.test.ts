import { cp, mkdir, open, readdir, readFile, rename, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { CheckpointError, CompressionError, InterruptedError } from "../src/errors.ts";
import { AWQModifier } from "../src/modifiers/awq.ts";
import type { CompressionStage, Modifier } from "../src/modifiers/modifier.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { SmoothQuantModifier } from "../src/modifiers/smoothquant.ts";
import { Linear } from "../src/nn/linear.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import type { ProgressEvent } from "../src/sequential/events.ts";
import { toFloat32 } from "../src/tensor/convert.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { folderBytes } from "./folder-bytes.ts";
import { temporaryFolder } from "./temporary-folder.ts";
import { CALIBRATION_FILE, calibrationRows, compressTinyModel, gptq, int4, TINY_MODEL } from "./tiny-model.ts";

type Options = Omit<Partial<OneshotOptions>, "recipe"> & { readonly recipe?: () => OneshotOptions["recipe"] };

/** Runs on the tiny model of the fixtures; returns the events. */
async function run(output: string, { recipe = gptq, onProgress, ...options }: Options = {}): Promise<ProgressEvent[]> {
  const events: ProgressEvent[] = [];
  const tell = (event: ProgressEvent) => {
    events.push(event);
    onProgress?.(event);
  };
  await compressTinyModel({ output, recipe: recipe(), onProgress: tell, ...options });
  return events;
}

/** Runs until `stop` says so of an event; returns the error that ends it. */
async function stopped(output: string, stop: (event: ProgressEvent) => boolean, options: Options = {}) {
  const controller = new AbortController();
  const onProgress = (event: ProgressEvent) => {
    if (stop(event)) controller.abort();
  };
  return run(output, { ...options, onProgress, signal: controller.signal }).catch((error) => error);
}

/** A test for one moment of a run. */
const at = (phase: string, subgraph: number) => (event: ProgressEvent) =>
  event.type === "phase" && event.phase === phase && event.subgraph === subgraph;

const newOutput = async () => join(await temporaryFolder(), "output");
const siblings = (output: string) => readdir(join(output, ".."));
const warningsOf = (events: readonly ProgressEvent[]) =>
  events.flatMap((event) => (event.type === "warning" ? [event.message] : []));
const phasesOf = (events: readonly ProgressEvent[]) =>
  events.flatMap((event) => (event.type === "phase" ? [`${event.subgraph} ${event.phase}`] : []));

/** Doubles the value projections' weights, in a dtype that the output does not hold. */
class Double implements Modifier {
  readonly name = "Double";
  readonly options = {};
  readonly requiresCalibrationData = false;
  initialize(): void {}
  async compress(stage: CompressionStage): Promise<void> {
    for (const [path, module] of stage.modules) {
      if (!(module instanceof Linear) || !/v_proj|o_proj/.test(path)) continue;
      const weight = toFloat32(await stage.weight(module));
      stage.setWeight(
        module,
        new Tensor(
          "F32",
          weight.shape,
          weight.data.map((value) => value * 2.0001),
        ),
      );
    }
    stage.warn(`doubled in a subgraph of ${stage.modules.length} modules`);
  }
}

describe("a run that is stopped, and gone on with", () => {
  const group = (args: object) => () => gptq({ configGroups: { group: { targets: ["Linear"], weights: args } } });
  const mixed = () => [
    new Double(),
    new QuantizationModifier({ targets: ["re:.*v_proj"], scheme: "W8A16" }),
    gptq({ configGroups: { group: { targets: ["re:.*[qk]_proj", "re:.*mlp.*_proj"], weights: int4 } } }),
  ];
  const rounding = () => new QuantizationModifier({ ignore: ["lm_head"], scheme: "W4A16" });
  const staticInputs = () => new QuantizationModifier({ ignore: ["lm_head"], scheme: "FP8" });
  const cases: [name: string, options: Options][] = [
    ["GPTQ", {}],
    ["one pass", { onePass: true }],
    ["each linear by itself", { sequentialTargets: ["Linear"] }],
    ["without propagation", { propagateError: false }],
    ["saved in BF16", { precision: "BF16" }],
    ["saved in F16, in shards", { precision: "F16", maxShardSize: 50_000 }],
    ["3 bits, asymmetric", { recipe: group({ numBits: 3, groupSize: 32, symmetric: false }), precision: "BF16" }],
    ["one scale for a tensor", { recipe: group({ numBits: 8, strategy: "tensor", symmetric: false }) }],
    ["lm_head too", { recipe: () => gptq({ ignore: [] }) }],
    ["modifiers that change, round and calibrate", { recipe: mixed, precision: "BF16" }],
    ["smoothed norms", { recipe: () => [new SmoothQuantModifier(), gptq()], precision: "BF16" }],
    ["smoothed norms, rounded to nearest", { recipe: () => [new AWQModifier({ nGrid: 4 }), rounding()] }],
    ["static inputs, seen and passed on in one run", { recipe: () => staticInputs(), memoryBudget: 0 }],
    ["no data", { recipe: rounding, dataset: undefined }],
    ["Hessians that fail", { recipe: () => gptq({ dampeningFrac: 0 }), numCalibrationSamples: 1 }],
  ];

  test.each(cases)("%s: ends with the same bytes, reports and warnings", async (_, options) => {
    const whole = await newOutput();
    const expected = await run(whole, options);
    const moments = expected.flatMap((event, index) => (event.type === "phase" ? [index] : []));
    const [second, middle, last] = [1, Math.floor(moments.length / 2), moments.length - 1].map((i) => moments[i]);
    for (const moment of new Set([second, middle, last])) {
      const output = await newOutput();
      let seen = 0;
      await stopped(output, () => seen++ === moment, options);
      expect(await siblings(output)).not.toContain("output");
      const events = await run(output, { ...options, resume: true });
      expect(await folderBytes(output)).toEqual(await folderBytes(whole));
      expect(await siblings(output)).toEqual(["output"]);
      const reports = (of: readonly ProgressEvent[]) =>
        of.flatMap((event) => (event.type === "module" ? [[event.module, event.error, event.fallback]] : []));
      expect(reports(events).sort()).toEqual(reports(expected).sort());
      expect(warningsOf(events).sort()).toEqual(warningsOf(expected).sort());
    }
  });

  test("stopped again and again, at each phase, ends with the same bytes", async () => {
    const [whole, output] = [await newOutput(), await newOutput()];
    const moments = phasesOf(await run(whole, { onePass: true }));
    for (const moment of moments) {
      const [subgraph, phase] = moment.split(" ");
      await stopped(output, at(phase, Number(subgraph)), { onePass: true, resume: true });
    }
    await run(output, { onePass: true, resume: true }).catch(() => {}); // the last phase may have been the last thing to stop at
    expect(await folderBytes(output)).toEqual(await folderBytes(whole));
  });

  test("of finished subgraphs, nothing is calibrated or compressed again", async () => {
    const output = await newOutput();
    await stopped(output, at("calibrating", 2));
    const events = await run(output, { resume: true });
    expect(events.find(({ type }) => type === "resumed")).toEqual({ type: "resumed", subgraphs: 2 });
    expect(phasesOf(events)).toEqual(["0 propagating", "1 propagating", "2 calibrating", "2 compressing"]);
  });

  test("the error keeps its cause, says what is left and how to go on", async () => {
    const output = await newOutput();
    const error = await stopped(output, at("compressing", 2));
    expect(error).toBeInstanceOf(InterruptedError);
    expect(error.cause.name).toBe("AbortError");
    expect(error.message).toBe(
      `This operation was aborted\n${output}.partial: holds what is finished. Pass --resume to go on.`,
    );
    expect(await siblings(output)).toEqual(["output.partial"]);
  });

  test("stopped before anything is finished, it leaves nothing, and throws the signal's reason", async () => {
    const output = await newOutput();
    const error = await stopped(output, at("calibrating", 1));
    expect([error.name, await siblings(output)]).toEqual(["AbortError", []]);
  });

  test("to go on where nothing is left is to begin", async () => {
    const [whole, output] = [await newOutput(), await newOutput()];
    await run(whole);
    expect(phasesOf(await run(output, { resume: true }))[0]).toBe("0 compressing");
    expect(await folderBytes(output)).toEqual(await folderBytes(whole));
  });

  test("what is left is refused without a word of what to do with it, and --overwrite begins anew", async () => {
    const output = await newOutput();
    await stopped(output, at("compressing", 2));
    await expect(run(output)).rejects.toThrow(
      `${output}.partial: exists already, expected none. A run was stopped: pass --resume to go on with it, or --overwrite to start anew.`,
    );
    expect(await siblings(output)).toEqual(["output.partial"]);
    expect(phasesOf(await run(output, { overwrite: true }))[0]).toBe("0 compressing");
    expect(await siblings(output)).toEqual(["output"]);
  });

  test("a run that replaces an output can be stopped: the old one stays until the new one is whole", async () => {
    const [whole, output] = [await newOutput(), await newOutput()];
    await run(whole);
    await mkdir(output);
    await writeFile(join(output, "old"), "");
    await stopped(output, at("compressing", 2), { overwrite: true });
    expect(await readdir(output)).toEqual(["old"]);
    await run(output, { overwrite: true, resume: true });
    expect(await folderBytes(output)).toEqual(await folderBytes(whole));
  });

  test("numbers that a modifier cannot work with would be met again: nothing is left", async () => {
    const output = await newOutput();
    const fails: Modifier = {
      name: "Fails",
      options: {},
      requiresCalibrationData: true,
      initialize() {},
      async compress({ modules }) {
        if (modules.some(([path]) => path === "model.layers.1")) throw new CompressionError("model.layers.1: failed.");
      },
    };
    await expect(run(output, { recipe: () => [gptq(), fails] })).rejects.toThrow(CompressionError);
    expect(await siblings(output)).toEqual([]);
  });
});

describe("a run is only gone on with as it was begun", () => {
  const changes: [what: string, options: Options][] = [
    ["recipe", { recipe: () => gptq({ dampeningFrac: 0.02 }) }],
    ["calibration data", { dataset: calibrationRows.toReversed() }],
    ['option precision (none, now "BF16")', { precision: "BF16" }],
    ["option onePass (none, now true)", { onePass: true }],
    ["option maxShardSize (none, now 5000)", { maxShardSize: 5000 }],
    ['option sequentialTargets (none, now ["LlamaMLP"])', { sequentialTargets: ["LlamaMLP"] }],
  ];

  test.each(changes)("another %s is refused, and what is left stays", async (what, options) => {
    const [whole, output] = [await newOutput(), await newOutput()];
    await stopped(output, at("compressing", 2));
    await expect(run(output, { ...options, resume: true })).rejects.toThrow(
      `${output}.partial: begun with another ${what}, expected the same to go on. ` +
        "Pass what it was begun with, or --overwrite without --resume to start anew.",
    );
    await run(output, { resume: true });
    await run(whole);
    expect(await folderBytes(output)).toEqual(await folderBytes(whole));
  });

  test("another model is refused: a file of weights that was written to since", async () => {
    const [model, output] = [join(await temporaryFolder(), "model"), await newOutput()];
    await cp(TINY_MODEL, model, { recursive: true });
    await stopped(output, at("compressing", 2), { model });
    await utimes(join(model, "model.safetensors"), 1, 1);
    await expect(run(output, { model, resume: true })).rejects.toThrow("begun with another model, expected the same");
  });

  test("another version of layerwise is refused", async () => {
    const output = await newOutput();
    const recipe = "QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}";
    await stopped(output, at("compressing", 20), { recipe: () => recipe });
    vi.resetModules();
    vi.doMock("../src/version.ts", () => ({ version: "9.9.9" }));
    const later = await import("../src/oneshot.ts");
    vi.doUnmock("../src/version.ts");
    const options = { shuffleCalibrationSamples: false, numCalibrationSamples: 8, resume: true };
    await expect(later.oneshot({ model: TINY_MODEL, recipe, output, ...options })).rejects.toThrow(
      /begun with another version of layerwise \(\d+\.\d+\.\d+, now 9\.9\.9\), expected the same/,
    );
  });

  test("the number of threads may be another: the bytes are the same", async () => {
    const [whole, output] = [await newOutput(), await newOutput()];
    await run(whole);
    await stopped(output, at("compressing", 2), { threads: 2 });
    await run(output, { threads: 3, resume: true });
    expect(await folderBytes(output)).toEqual(await folderBytes(whole));
  });
});

describe("what is left and then damaged", () => {
  const damage = async (file: string, position: number) => {
    const handle = await open(file, "r+");
    const byte = Buffer.alloc(1);
    await handle.read(byte, 0, 1, position);
    await handle.write(Buffer.of(byte[0] ^ 1), 0, 1, position);
    await handle.close();
  };

  test("tensors that are not what they were are made again, with a warning", async () => {
    const [whole, output] = [await newOutput(), await newOutput()];
    await run(whole);
    await stopped(output, at("compressing", 2));
    const bytes = await readFile(join(`${output}.partial`, "output", "model.safetensors"));
    const header = JSON.parse(bytes.toString("utf8", 8, 8 + Number(bytes.readBigUInt64LE())));
    const [begin] = header["model.layers.0.self_attn.q_proj.weight_packed"].data_offsets;
    await damage(
      join(`${output}.partial`, "output", "model.safetensors"),
      8 + Number(bytes.readBigUInt64LE()) + begin + 5,
    );
    const events = await run(output, { resume: true });
    expect(warningsOf(events)).toContain(
      `${output}.partial: what is there of subgraph 2 is damaged. It is done again, and all after it.`,
    );
    expect(await folderBytes(output)).toEqual(await folderBytes(whole));
  });

  test.each(["model.safetensors", ""])("files that are gone are made again: output/%s", async (gone) => {
    const [whole, output] = [await newOutput(), await newOutput()];
    await run(whole);
    await stopped(output, at("compressing", 2));
    await rename(join(`${output}.partial`, "output", gone), `${output}.away`);
    expect(warningsOf(await run(output, { resume: true }))).toHaveLength(1);
    expect(await folderBytes(output)).toEqual(await folderBytes(whole));
  });

  test("a journal that ends inside a line loses that line; damage before it is an error", async () => {
    const [whole, output] = [await newOutput(), await newOutput()];
    await run(whole, { onePass: true });
    await stopped(output, at("compressing", 7), { onePass: true });
    const journal = join(`${output}.partial`, "journal.jsonl");
    const text = await readFile(journal, "utf8");
    await writeFile(journal, text.replace('"index":1', '"index":2'));
    await expect(run(output, { onePass: true, resume: true })).rejects.toThrow(/journal\.jsonl: line 2 is damaged/);
    await writeFile(journal, text.slice(0, -3));
    const [resumed] = (await run(output, { onePass: true, resume: true })).filter(({ type }) => type === "resumed");
    expect(resumed).toEqual({ type: "resumed", subgraphs: text.split("\n").length - 2 });
    expect(await folderBytes(output)).toEqual(await folderBytes(whole));
  });
});

describe("an output that cannot be written", () => {
  /** Lets a method of open files fail as a full disk does, from its call `first` on. */
  async function failing(method: "write" | "sync", first: number) {
    const handle = await open(CALIBRATION_FILE);
    const prototype = Object.getPrototypeOf(handle);
    await handle.close();
    const original = prototype[method];
    let calls = 0;
    return vi.spyOn(prototype, method).mockImplementation(function (this: unknown, ...args: unknown[]) {
      if (++calls < first) return original.apply(this, args);
      return Promise.reject(Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" }));
    });
  }

  test.each(["write", "sync"] as const)("says so, whichever %s fails, and can be gone on with", async (method) => {
    const whole = await newOutput();
    const counter = await failing(method, Number.POSITIVE_INFINITY);
    await run(whole);
    const calls = counter.mock.calls.length;
    counter.mockRestore();
    for (let first = 1; first <= calls; first += Math.ceil(calls / 12)) {
      const output = await newOutput();
      const spy = await failing(method, first);
      const error = await run(output).catch((thrown) => thrown);
      spy.mockRestore();
      expect(error.message, `call ${first}`).toContain("cannot be written (ENOSPC: no space left on device, write)");
      const isLeft = (await siblings(output)).includes("output.partial");
      expect(error).toBeInstanceOf(isLeft ? InterruptedError : CheckpointError);
      await run(output, { resume: true });
      expect(await folderBytes(output)).toEqual(await folderBytes(whole));
    }
  });
});
