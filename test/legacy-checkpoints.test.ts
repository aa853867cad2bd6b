import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { bindCheckpoint } from "../src/formats/bind-checkpoint.ts";
import { inspectCheckpoint } from "../src/formats/inspect.ts";
import { createModel } from "../src/models/registry.ts";
import { oneshot } from "../src/oneshot.ts";
import { openOutput } from "../src/output/output.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { run } from "./compressed-fixture.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const NAME = "model.layers.0.mlp.down_proj";

/** Values that are not 0, and a bit for each place that has one: the sparse-bitmask format. */
function encodeBitmask({ shape: [rows, columns], data }: Tensor<"F32">, name: string): Map<string, Tensor> {
  const bitmask = Tensor.zeros("U8", [rows, Math.ceil(columns / 8)]);
  for (let i = 0; i < data.length; i++) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    if (data[i] !== 0) bitmask.data[row * Math.ceil(columns / 8) + (column >> 3)] |= 1 << (column & 7);
  }
  const values = data.filter((value) => value !== 0);
  return new Map<string, Tensor>([
    [`${name}.weight.compressed`, new Tensor("F32", [values.length], values)],
    [`${name}.weight.bitmask`, bitmask],
  ]);
}

/** The fixtures' model with every second value of one weight pruned, stored sparse. */
async function writeSparse(): Promise<{ folder: string; pruned: Tensor<"F32"> }> {
  const tensors = readSafetensors(join(run.model, "model.safetensors"));
  const weight = tensors.get(`${NAME}.weight`) as Tensor<"F32">;
  const pruned = new Tensor(
    "F32",
    weight.shape,
    weight.data.map((value, index) => (index % 2 ? value : 0)),
  );
  tensors.delete(`${NAME}.weight`);
  for (const [name, tensor] of encodeBitmask(pruned, NAME)) tensors.set(name, tensor);
  const folder = join(await temporaryFolder(), "sparse");
  const specs = Array.from(tensors, ([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const output = await openOutput({ folder, tensors: specs });
  for (const [name, tensor] of tensors) await output.write(name, tensor);
  const config = JSON.parse(readFileSync(join(run.model, "config.json"), "utf8"));
  const quantization_config = { quant_method: "compressed-tensors", sparsity_config: { format: "sparse-bitmask" } };
  await output.writeText("config.json", JSON.stringify({ ...config, quantization_config }));
  await output.finish();
  return { folder, pruned };
}

test("a sparse checkpoint is read as the dense one that it stands for", async () => {
  const { folder, pruned } = await writeSparse();
  const checkpoint = await openCheckpoint(folder);
  const model = createModel(checkpoint.config);
  bindCheckpoint(model, checkpoint);
  const parameter = new Map(model.namedParameters()).get(`${NAME}.weight`);
  expect(await parameter?.load()).toEqual(pruned);
  await checkpoint.close();
  expect((await inspectCheckpoint(folder)).modelType).toBe("llama");
});

test("a sparse checkpoint is compressed like a dense one, and what comes out is not sparse", async () => {
  const { folder } = await writeSparse();
  const output = join(await temporaryFolder(), "again");
  const recipe = `QuantizationModifier: {scheme: W8A16, targets: ["re:.*layers.1.*proj"]}`;
  await oneshot({ ...run, model: folder, recipe, output });
  const names = [...readSafetensors(join(output, "model.safetensors")).keys()].filter((name) => name.startsWith(NAME));
  expect(names).toEqual([`${NAME}.weight`]);
  const { quantization_config } = JSON.parse(readFileSync(join(output, "config.json"), "utf8"));
  expect(quantization_config.sparsity_config).toEqual({});
});
