import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openCheckpoint } from "../../src/checkpoint/checkpoint.ts";
import { bindCheckpoint } from "../../src/formats/bind-checkpoint.ts";
import { createModel } from "../../src/models/registry.ts";
import { oneshot } from "../../src/oneshot.ts";
import { dispatchForSequential } from "../../src/sequential/dispatch.ts";
import { runInOrder } from "../../src/sequential/run-in-order.ts";
import { traceSubgraphs } from "../../src/sequential/trace-subgraphs.ts";
import { Tensor } from "../../src/tensor/tensor.ts";

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const model = here("../../examples/moby-tiny");
const ids = Array.from({ length: 48 }, (_, index) => (index * 37 + 5) % 2048);

/** What is compressed, by name: a recipe, and data where it needs any. Saved in F32, as both sides compute in it. */
const RECIPES = {
  "the demo's GPTQ": {
    recipe: here("../../examples/gptq-w4a16.yaml"),
    dataset: here("../../examples/calibration.jsonl"),
  },
  "4 bits, symmetric": { recipe: "QuantizationModifier: {scheme: W4A16, ignore: [lm_head]}" },
  "4 bits, asymmetric": { recipe: "QuantizationModifier: {scheme: W4A16_ASYM, ignore: [lm_head]}" },
  "8 bits": { recipe: "QuantizationModifier: {scheme: W8A16, ignore: [lm_head]}" },
  "a quantized lm_head, untied": { recipe: "QuantizationModifier: {scheme: W8A16}" },
};
type Name = keyof typeof RECIPES;
const names = Object.keys(RECIPES) as Name[];

let folder: string;
let theirs: Record<Name, number[]>;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "layerwise-"));
  for (const [index, name] of names.entries()) {
    const limits = { maxSeqLength: 128, numCalibrationSamples: 8, threads: 1 } as const;
    await oneshot({ model, output: join(folder, String(index)), ...limits, ...RECIPES[name] });
  }
  const [idsFile, out] = [join(folder, "ids.json"), join(folder, "logits.json")];
  await writeFile(idsFile, JSON.stringify(ids));
  const folders = names.map((_, index) => join(folder, String(index)));
  await promisify(execFile)(here("../../.venv/bin/python"), [here("logits.py"), idsFile, out, ...folders]);
  const logits: number[][] = JSON.parse(await readFile(out, "utf8"));
  theirs = Object.fromEntries(names.map((name, index) => [name, logits[index]])) as Record<Name, number[]>;
}, 600_000);

afterAll(() => rm(folder, { recursive: true, force: true }));

test.each(names)("transformers computes the logits that layerwise does: %s", async (name) => {
  const ours = await logitsOf(join(folder, String(names.indexOf(name))));
  const largest = theirs[name].reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  expect(ours).toBeAllClose({ shape: ours.shape, data: theirs[name] }, { atol: 1e-4 * largest });
});

async function logitsOf(path: string): Promise<Tensor> {
  const checkpoint = await openCheckpoint(path);
  const network = createModel(checkpoint.config);
  bindCheckpoint(network, checkpoint);
  const batch = { input_ids: new Tensor("I64", [1, ids.length], BigInt64Array.from(ids, BigInt)) };
  const dispatched = await dispatchForSequential(network, { device: "cpu", threads: 1 });
  const subgraphs = traceSubgraphs(network, batch, network.noSplitModules);
  for await (const { logits } of runInOrder(subgraphs, dispatched, [batch])) {
    await checkpoint.close();
    return logits as Tensor;
  }
  throw new Error("the model returned nothing");
}
