import { cp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { VerificationError } from "../src/errors.ts";
import { exportModel } from "../src/export/export-model.ts";
import { writeTensorFile } from "../src/output/tensor-file.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { verify } from "../src/verify/verify.ts";
import { ggufIn, LLAMA, makeGguf, quantizeFor } from "./damaged-gguf.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const places = makeGguf();

test.each(["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])(
  "%s: nothing is wrong with what was not damaged",
  async (dtype) => {
    const output = join(await temporaryFolder(), "gguf");
    await exportModel({ model: LLAMA, format: ["gguf"], dtype: [dtype], output });
    const {
      problems,
      notes,
      comparisons: [comparison],
    } = await verify({ model: output, source: LLAMA, threads: 1 });
    expect([problems, notes]).toEqual([[], []]);
    expect(comparison.subgraphs).toHaveLength(5);
    expect(comparison.logits.klDivergence).toBeLessThan(dtype.startsWith("Q4") ? 0.3 : 0.01);
  },
  60_000,
);

test("a file has the weights of the checkpoint that it was exported from, and is near the one that this was made of", async () => {
  const {
    problems,
    tensors,
    compressed,
    comparisons: [comparison],
  } = await verify({
    model: await ggufIn(places().folder),
    source: places().source,
    threads: 1,
  });
  expect(problems).toEqual([]);
  expect([tensors > compressed, compressed]).toEqual([true, 28]);
  expect(comparison.logits.top1Agreement).toBeGreaterThan(0.99);
  const original = await verify({ model: places().folder, source: LLAMA, threads: 1 });
  expect(original.problems).toEqual([]);
  expect(
    original.comparisons[0].weights.find(({ module }) => module === "model.layers.0.self_attn.q_proj"),
  ).toMatchObject({ weights: "Q4_0" });
});

test.each(["Q4_K", "Q6_K"])(
  "a %s file is near the checkpoint that it was exported from",
  async (dtype) => {
    const folder = await temporaryFolder();
    const [model, output] = [join(folder, "quantized"), join(folder, "gguf")];
    await quantizeFor(dtype, model);
    await exportModel({ model, format: ["gguf"], dtype: [dtype], output });
    const {
      problems,
      comparisons: [comparison],
    } = await verify({ model: output, source: model, threads: 1 });
    expect(problems).toEqual([]);
    expect(comparison.weights.filter(({ weights }) => weights === dtype)).toHaveLength(28);
  },
  60_000,
);

test("a model that is split over several files is verified whole, and a file that is not there is named", async () => {
  const output = join(await temporaryFolder(), "gguf");
  await exportModel({ model: places().source, format: ["gguf"], output, maxShardSize: 1e6 });
  expect((await readdir(output)).length).toBeGreaterThan(2);
  expect((await verify({ model: output, source: places().source, threads: 1 })).problems).toEqual([]);
  await rm(await ggufIn(output, 1));
  const { problems } = await verify({ model: output });
  expect(problems.map(({ message }) => message).join()).toMatch(/00002-of-\d+\.gguf: cannot be opened/);
});

test("of several models in a folder one must be named", async () => {
  const output = join(await temporaryFolder(), "gguf");
  await exportModel({ model: LLAMA, format: ["gguf"], dtype: ["F16", "Q8_0"], output });
  await expect(verify({ model: output })).rejects.toThrow("2 GGUF files, expected one. Name the file.");
});

test("an export of a weight that is not finite ends in an error, unless it is not to be verified", async () => {
  const folder = await temporaryFolder();
  const [model, output] = [join(folder, "broken"), join(folder, "gguf")];
  await cp(LLAMA, model, { recursive: true });
  const tensors = new Map(readSafetensors(join(LLAMA, "model.safetensors")));
  const { dtype, shape, data } = tensors.get("model.layers.0.mlp.up_proj.weight") as Tensor<"BF16">;
  tensors.set("model.layers.0.mlp.up_proj.weight", new Tensor(dtype, shape, data.with(5, 0x7fc0)));
  await writeTensorFile(join(model, "model.safetensors"), tensors);
  const options = { model, format: ["gguf"], output };
  const failure = await exportModel(options).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(VerificationError);
  expect(String(failure)).toContain("model.layers.0.mlp.up_proj: NaN or infinite at row 0, column 5");
  await exportModel({ ...options, verify: false, overwrite: true });
  expect((await verify({ model: output })).problems).toHaveLength(1);
});
