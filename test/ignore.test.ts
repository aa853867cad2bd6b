import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { oneshot } from "../src/oneshot.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const model = fileURLToPath(new URL("./fixtures/models/llama", import.meta.url));
const source = readSafetensors(join(model, "model.safetensors"));
const rows = Array.from({ length: 2 }, (_, row) => ({
  input_ids: Array.from({ length: 24 }, (_, index) => (7 + 11 * index + 5 * row) % 256),
}));
const int4 = "config_groups: {g: {targets: [Linear], weights: {num_bits: 4, group_size: 32}}}";

test.each([
  ["GPTQModifier", int4],
  ["QuantizationModifier", int4],
  ["SmoothQuantModifier", "smoothing_strength: 0.8"],
  ["SparseGPTModifier", "sparsity: 0.5"],
  ["WandaPruningModifier", "sparsity: 0.5"],
  ["MagnitudePruningModifier", "targets: [Linear], init_sparsity: 0, final_sparsity: 0.5"],
  ["QuIPModifier", "transform_type: hadamard"],
])("%s leaves what is ignored as it was, byte for byte", async (name, fields) => {
  const output = join(await temporaryFolder(), "output");
  await oneshot({
    model,
    recipe: `${name}: {${fields}, ignore: ['re:.*layers\\.0\\..*', lm_head]}`,
    dataset: rows,
    output,
    threads: 1,
    numCalibrationSamples: 2,
  });
  const written = readSafetensors(join(output, "model.safetensors"));
  const changed = [...source].flatMap(([path, tensor]) =>
    String(written.get(path)?.data) === String(tensor.data) ? [] : [path],
  );
  expect(changed.length).toBeGreaterThan(0);
  expect(changed.every((path) => path.startsWith("model.layers.1."))).toBe(true);
});
