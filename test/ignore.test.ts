import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { oneshot } from "../src/oneshot.ts";
import { modifierTypes } from "../src/recipe/modifiers.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { readWeights } from "./read-weights.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const model = fileURLToPath(new URL("./fixtures/models/llama", import.meta.url));
const source = readSafetensors(join(model, "model.safetensors"));
const rows = Array.from({ length: 2 }, (_, row) => ({
  input_ids: Array.from({ length: 24 }, (_, index) => (7 + 11 * index + 5 * row) % 256),
}));
const int4 = "config_groups: {g: {targets: [Linear], weights: {num_bits: 4, group_size: 32}}}";

const IGNORE = "ignore: ['re:.*layers\\.0\\..*', lm_head]";

/** Fields of each modifier that can be told to leave modules as they are. */
const FIELDS: Readonly<Record<string, string>> = {
  AWQModifier: `n_grid: 4, ${int4}`,
  GPTQModifier: int4,
  LogarithmicEqualizationModifier: "group: g",
  QuantizationModifier: int4,
  QuIPModifier: "transform_type: hadamard",
  SmoothQuantModifier: "smoothing_strength: 0.8",
  SparseGPTModifier: "sparsity: 0.5",
  WandaPruningModifier: "sparsity: 0.5",
  MagnitudePruningModifier: "targets: [Linear], init_sparsity: 0, final_sparsity: 0.5",
};

/** Compresses a Llama; returns the folder. */
async function compress(recipe: string, from = model): Promise<string> {
  const output = join(await temporaryFolder(), "output");
  await oneshot({ model: from, recipe, dataset: rows, output, threads: 1, numCalibrationSamples: 2 });
  return output;
}

test("no modifier is left out", () => {
  const others = [
    "SpinQuantModifier", // what layers pass on is in one basis: it has no such field, as in the reference
    "REAPPruningModifier", // config.json has one number of experts: it refuses blocks that are ignored
    "ConstantPruningModifier", // below
  ];
  expect([...Object.keys(FIELDS), ...others].sort()).toEqual(Object.keys(modifierTypes).sort());
});

test.each(Object.entries(FIELDS))("%s leaves what is ignored as it was, byte for byte", async (name, fields) => {
  const written = readSafetensors(join(await compress(`${name}: {${fields}, ${IGNORE}}`), "model.safetensors"));
  const changed = [...source].flatMap(([path, tensor]) =>
    String(written.get(path)?.data) === String(tensor.data) ? [] : [path],
  );
  expect(changed.length).toBeGreaterThan(0);
  expect(changed.every((path) => path.startsWith("model.layers.1."))).toBe(true);
});

test("ConstantPruningModifier leaves zeros that are ignored to the modifiers after it", async () => {
  const pruned = await compress("MagnitudePruningModifier: {final_sparsity: 0.5, targets: ['re:.*proj']}");
  const before = await readWeights(pruned);
  const gptq = `GPTQModifier: {ignore: [lm_head], ${int4}}`;
  const after = await readWeights(
    await compress(`ConstantPruningModifier: {targets: [Linear], ${IGNORE}}\n${gptq}`, pruned),
  );
  const filled = [...before].filter(([path, data]) =>
    data.some((value, at) => value === 0 && after.get(path)?.[at] !== 0),
  );
  expect(filled.length).toBeGreaterThan(0);
  expect(filled.every(([path]) => path.startsWith("model.layers.0."))).toBe(true);
});
