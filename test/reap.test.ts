import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { bindCheckpoint } from "../src/formats/bind-checkpoint.ts";
import { createModel } from "../src/models/registry.ts";
import { initializeModifiers } from "../src/modifiers/initialize.ts";
import { oneshot } from "../src/oneshot.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import { createModifiers } from "../src/recipe/modifiers.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { verify } from "../src/verify/verify.ts";
import { loadFixtureModel } from "./fixture-model.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { runSequentially } from "./run-model.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const fixture = (path: string) => fileURLToPath(new URL(`./fixtures/${path}`, import.meta.url));
const golden = JSON.parse(readFileSync(fixture("reap/reap.json"), "utf8"));
const rows: readonly number[][] = golden.input_ids;

/** Runs a recipe on a fixture's model; returns the folder. */
async function compress(name: string, recipe: string, options: Partial<OneshotOptions> = {}): Promise<string> {
  const output = join(await temporaryFolder(), "output");
  await oneshot({
    model: fixture(`models/${name}`),
    recipe,
    dataset: rows.map((input_ids) => ({ input_ids })),
    output,
    threads: 1,
    shuffleCalibrationSamples: false,
    numCalibrationSamples: 8,
    ...options,
  });
  return output;
}

async function lastLogits(folder: string): Promise<Tensor<"F32">> {
  const checkpoint = await openCheckpoint(folder);
  try {
    const model = createModel(checkpoint.config);
    bindCheckpoint(model, checkpoint);
    const input_ids = new Tensor("I64", [1, rows[0].length], BigInt64Array.from(rows[0], BigInt));
    const logits = await runSequentially(model, { input_ids });
    const width = logits.shape[2];
    return new Tensor("F32", [width], logits.data.slice(-width) as Float32Array<ArrayBuffer>);
  } finally {
    await checkpoint.close();
  }
}

describe.each(["mixtral", "qwen2_moe", "qwen3_moe"])("REAP on %s", (name) => {
  const { sparsity, retained, logits } = golden[name];
  const recipe = `REAPPruningModifier: {sparsity: ${sparsity}`;

  test.each([false, true])("keeps the reference's experts, and gives its logits (one pass: %s)", async (onePass) => {
    const report = join(await temporaryFolder(), "report.json");
    const output = await compress(name, `${recipe}, report_path: ${report}}`, { onePass });
    expect(JSON.parse(readFileSync(report, "utf8"))).toMatchObject(rename(retained, name));
    if (!logits) return;
    const expected = new Tensor("F32", [logits.length], Float32Array.from(logits));
    expect(await lastLogits(output)).toBeAllClose(expected, { atol: 1e-4 });
  });

  test("writes as many experts as config.json then says, and no others", async () => {
    const output = await compress(name, `${recipe}}`);
    const { num_experts, num_local_experts } = JSON.parse(readFileSync(join(output, "config.json"), "utf8"));
    const [kept] = Object.values<number[]>(retained).map(({ length }) => length);
    expect(num_experts ?? num_local_experts).toBe(kept);
    const indices = [...readSafetensors(join(output, "model.safetensors")).keys()].flatMap(
      (path) => /\.experts\.(\d+)\./.exec(path)?.[1] ?? [],
    );
    expect(Math.max(...indices.map(Number))).toBe(kept - 1);
  });
});

const quantization =
  "GPTQModifier: {ignore: [lm_head], config_groups: {g: {targets: [Linear], weights: {num_bits: 8}}}}";

test.each(["mixtral", "qwen2_moe"])(
  "%s: verify compares with the experts that stay, and finds nothing wrong",
  async (name) => {
    const options = { source: fixture(`models/${name}`), threads: 1 };
    const output = await compress(
      name,
      `REAPPruningModifier: {sparsity: 0.5}
${quantization}`,
    );
    const { problems, notes, comparisons } = await verify({ ...options, model: output });
    expect(problems.filter(({ message }) => !message.includes("a copy of the file"))).toEqual([]);
    expect(notes).toEqual(["experts were left out: compared with the source without them"]);
    expect(comparisons[0].logits.top1Agreement).toBeGreaterThan(0.8);
  },
);

test("modifiers after REAP work on the smaller model", async () => {
  const output = await compress("mixtral", `REAPPruningModifier: {sparsity: 0.5}\n${quantization}`);
  const expected = Float32Array.from(golden.mixtral.logits);
  const scale = Math.max(...expected.map(Math.abs));
  expect(await lastLogits(output)).toBeAllClose(new Tensor("F32", [expected.length], expected), { atol: 0.05 * scale });
});

describe("what does not fit is refused before any work", () => {
  test.each([
    ["llama", "{sparsity: 0.5}", "no block of experts in this model, expected some. Leave the modifier out."],
    ["mixtral", "{sparsity: 0.2}", "sparsity: 0.2 leaves 4 of 4 experts, expected fewer. Raise it."],
    [
      "mixtral",
      "{sparsity: 0.75}",
      "sparsity: 0.75 leaves 1 of 4 experts, expected at least the 2 that each token is routed to. Lower it.",
    ],
    [
      "mixtral",
      "{sparsity: 0.5, ignore: ['re:.*layers.0.*']}",
      "ignore: names model.layers.0.block_sparse_moe, expected no block of experts, as config.json has one number of experts. " +
        "Leave it out, or the modifier.",
    ],
  ])("%s: %s", (name, fields, message) => {
    const modifiers = createModifiers(`REAPPruningModifier: ${fields}`);
    const initialize = () => initializeModifiers(modifiers, loadFixtureModel(name), { warn() {} });
    expect(initialize).toThrow(/^recipe:1:1: REAPPruningModifier/);
    expect(initialize).toThrow(message);
  });

  test.each([
    ["{sparsity: 1}", "REAPPruningModifier.sparsity: 1, expected a number above 0 and below 1."],
    [
      "{sparsity: 0.5, report_path: report.txt}",
      "REAPPruningModifier.report_path: report.txt, expected a name that ends with .json.",
    ],
  ])("%s", (fields, message) => {
    expect(() => createModifiers(`REAPPruningModifier: ${fields}`)).toThrow(message);
  });

  test.each([
    [
      "WandaPruningModifier: {sparsity: 0.5}\nREAPPruningModifier: {sparsity: 0.5}",
      "expected it first, as they need its model. Move it up.",
    ],
    ["REAPPruningModifier: {sparsity: 0.5}\nSpinQuantModifier: {rotations: [R1]}", "Run one, then the other."],
  ])("%s", async (recipe, message) => {
    await expect(compress("mixtral", recipe)).rejects.toThrow(message);
  });
});

/** The reference calls blocks as transformers 5 does. */
function rename(retained: Readonly<Record<string, number[]>>, name: string): Record<string, number[]> {
  const block = name === "mixtral" ? "block_sparse_moe" : "mlp";
  return Object.fromEntries(
    Object.entries(retained).map(([path, experts]) => [path.replace(/\.mlp$/, `.${block}`), experts]),
  );
}
