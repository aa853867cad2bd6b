import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { InterruptedError } from "../src/errors.ts";
import { bindCheckpoint } from "../src/formats/bind-checkpoint.ts";
import { inspectCheckpoint } from "../src/formats/inspect.ts";
import { createModel } from "../src/models/registry.ts";
import { oneshot } from "../src/oneshot.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { compress, evaluationIds, FIXTURES, hashOfWeights, readConfig, run } from "./compressed-fixture.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { runWhole } from "./run-model.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const EMBEDDING = "model.embed_tokens.weight";
const TIED = fileURLToPath(new URL("./fixtures/models/qwen2", import.meta.url));

describe.each(["quip-w4a16", "quip-random"])("%s", (name) => {
  test("the checkpoint is the reference's, byte for byte, its transforms in it", async () => {
    const output = join(await temporaryFolder(), name);
    await compress(name, output);
    expect(readConfig(output)).toEqual(readConfig(join(FIXTURES, name)));
    expect(hashOfWeights(output)).toBe(hashOfWeights(join(FIXTURES, name)));
  });

  test("the logits are the reference's, and a second compression takes the result along with its transforms", async () => {
    const output = join(await temporaryFolder(), name);
    await compress(name, output);
    const golden = readSafetensors(join(FIXTURES, name, "golden.safetensors")).get("logits") as Tensor<"F32">;
    expect(relativeError(await logitsOf(output), golden)).toBeLessThan(2e-6);
    const again = join(await temporaryFolder(), "again");
    await oneshot({ ...run, model: output, recipe: "QuantizationModifier: {scheme: W8A16}", output: again });
    const [first, second] = [output, again].map((folder) => readConfig(folder).quantization_config);
    expect((second as Transforms).transform_config).toEqual((first as Transforms).transform_config);
    expect(relativeError(await logitsOf(again), golden)).toBeLessThan(0.05);
  });
});

type Transforms = { readonly transform_config: unknown };

describe("spinquant-w4a16", () => {
  test("the checkpoint is the reference's, byte for byte, but for the embedding, which the reference centres", async () => {
    const output = join(await temporaryFolder(), "spinquant");
    await compress("spinquant-w4a16", output);
    const reference = join(FIXTURES, "spinquant-w4a16");
    const theirs = readSafetensors(join(reference, "embedding.safetensors")).get(EMBEDDING) as Tensor<"F32">;
    const ours = readSafetensors(join(output, "model.safetensors")).get(EMBEDDING) as Tensor<"F32">;
    const isFirst = (_: number, index: number) => index % ours.shape[1] === 0;
    const other = (value: number, index: number) => !isFirst(value, index);
    expect(Math.max(...theirs.data.filter(isFirst).map(Math.abs))).toBeLessThan(1e-6); // n means of zero
    expect(relativeErrorOf(ours.data.filter(other), theirs.data.filter(other))).toBeLessThan(1e-6);

    const checkpoint = await openCheckpoint(output);
    const { begin } = checkpoint.info(EMBEDDING);
    await checkpoint.close();
    const bytes = await readFile(join(output, "model.safetensors"));
    bytes.set(new Uint8Array(theirs.data.buffer, theirs.data.byteOffset, theirs.data.byteLength), begin);
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(hashOfWeights(reference));
  });

  test("nothing is left of the rotations at run time: the configuration has no transforms", async () => {
    const output = join(await temporaryFolder(), "spinquant");
    await compress("spinquant-w4a16", output);
    const { quantization_config: expected, ...rest } = readConfig(join(FIXTURES, "spinquant-w4a16"));
    const transform_config = {};
    expect(readConfig(output)).toEqual({ ...rest, quantization_config: { ...(expected as object), transform_config } });
  });
});

describe("without quantization", () => {
  test("a rotated model with tied embeddings is written with a last projection of its own, and computes the same", async () => {
    const output = join(await temporaryFolder(), "rotated");
    await oneshot({ model: TIED, recipe: "SpinQuantModifier: {}", output, threads: 1 });
    expect(readConfig(output)).toMatchObject({ tie_word_embeddings: false });
    expect(readConfig(output)).not.toHaveProperty("quantization_config");
    const tensors = readSafetensors(join(output, "model.safetensors"));
    expect(tensors.get("lm_head.weight")).not.toEqual(tensors.get(EMBEDDING));
    expect(relativeError(await logitsOf(output), await logitsOf(TIED))).toBeLessThan(1e-5);
  });

  test("transforms that stay at run time are announced, and inspect reads them", async () => {
    const output = join(await temporaryFolder(), "rotated");
    await oneshot({ model: TIED, recipe: "QuIPModifier: {}", output, threads: 1 });
    expect(readConfig(output)).toMatchObject({
      quantization_config: { transform_config: { config_groups: { v: {} } } },
    });
    expect((await inspectCheckpoint(output)).storage.map(({ weights }) => weights)).toEqual(["F64", "F32"]);
    expect(relativeError(await logitsOf(output), await logitsOf(TIED))).toBeLessThan(1e-5);
  });
});

describe("spinquant-r4-w4a16", () => {
  const name = "spinquant-r4-w4a16";

  test("the checkpoint is the reference's, byte for byte, but for the embedding, which the reference centres", async () => {
    const output = join(await temporaryFolder(), name);
    await compress(name, output);
    expect(readConfig(output)).toEqual(readConfig(join(FIXTURES, name)));
    const checkpoint = await openCheckpoint(output);
    const { begin, end } = checkpoint.info(EMBEDDING);
    await checkpoint.close();
    const bytes = (await readFile(join(output, "model.safetensors"))).fill(0, begin, end);
    const expected = await readFile(join(FIXTURES, name, "without-embedding.sha256"), "utf8");
    expect(createHash("sha256").update(bytes).digest("hex")).toBe(expected.trim());
  });

  test("alone it leaves the logits as they are", async () => {
    const output = join(await temporaryFolder(), "rotated");
    await oneshot({ model: TIED, recipe: "SpinQuantModifier: {rotations: [R4]}", output, threads: 1 });
    expect(relativeError(await logitsOf(output), await logitsOf(TIED))).toBeLessThan(1e-5);
  });
});

test("a run that is stopped goes on with the same rotation, and ends with the same bytes", async () => {
  const folder = await temporaryFolder();
  const recipe =
    "SpinQuantModifier: {transform_type: random-hadamard}\nGPTQModifier: {scheme: W4A16, ignore: [lm_head]}";
  const whole = join(folder, "whole");
  await oneshot({ ...run, recipe, output: whole });
  const output = join(folder, "stopped");
  const stop = new AbortController();
  const onProgress = (event: { type: string; subgraph?: number }) => event.subgraph === 2 && stop.abort();
  await expect(oneshot({ ...run, recipe, output, signal: stop.signal, onProgress })).rejects.toThrow(InterruptedError);
  await oneshot({ ...run, recipe, output, resume: true });
  expect(hashOfWeights(output)).toBe(hashOfWeights(whole));
});

/** Logits of a checkpoint on disk. */
async function logitsOf(path: string): Promise<Tensor<"F32">> {
  const checkpoint = await openCheckpoint(path);
  try {
    const model = createModel(checkpoint.config);
    bindCheckpoint(model, checkpoint);
    return (await runWhole(model, { input_ids: evaluationIds })) as Tensor<"F32">;
  } finally {
    await checkpoint.close();
  }
}

function relativeError(found: Tensor<"F32">, expected: Tensor<"F32">): number {
  return relativeErrorOf(found.data, expected.data);
}

function relativeErrorOf(found: Float32Array, expected: Float32Array): number {
  const energy = expected.reduce((sum, value) => sum + value ** 2, 0);
  return Math.sqrt(expected.reduce((sum, value, index) => sum + (found[index] - value) ** 2, 0) / energy);
}
