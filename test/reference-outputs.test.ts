import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { Linear } from "../src/nn/linear.ts";
import { oneshot } from "../src/oneshot.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { compress, FIXTURES, readConfig, run } from "./compressed-fixture.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { readWeights } from "./read-weights.ts";
import { SecondMoments } from "./second-moments.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const model = join(FIXTURES, "model");

const gptqErrors = JSON.parse(readFileSync(join(FIXTURES, "gptq-errors.json"), "utf8"));

describe("GPTQ", () => {
  const observer = new SecondMoments((module) => module instanceof Linear); // of the dense model
  let dense: Map<string, Float32Array>;

  beforeAll(async () => {
    const { mkdtemp, rm } = await import("node:fs/promises");
    const { tmpdir } = await import("node:os");
    const folder = await mkdtemp(join(tmpdir(), "layerwise-"));
    await oneshot({ ...run, recipe: observer, output: join(folder, "dense") });
    await rm(folder, { recursive: true });
    dense = await readWeights(model);
  });

  test.each(["gptq-w4a16", "gptq-g32-sym-none", "gptq-g32-asym-static"])(
    "%s: the reference's scales, and an output error at most one percent above its, for every module",
    async (name) => {
      const output = join(await temporaryFolder(), name);
      await compress(name, output);
      const reference = join(FIXTURES, name);
      expect(readConfig(output)).toEqual(readConfig(reference));
      const [ours, theirs] = [output, reference].map((folder) => readSafetensors(join(folder, "model.safetensors")));
      expect([...ours.keys()].sort()).toEqual([...theirs.keys()].sort());
      for (const [tensor, value] of theirs) {
        if (!tensor.endsWith("weight_packed")) expect(ours.get(tensor), tensor).toEqual(value);
      }
      const [found, expected] = [await readWeights(output), await readWeights(reference)];
      for (const [path, { data: moment }] of observer.moments) {
        const original = dense.get(path) as Float32Array;
        const ratio = error(original, found.get(path), moment) / error(original, expected.get(path), moment);
        if (path !== "lm_head") expect(ratio, path).toBeLessThan(1.01);
      }
    },
  );

  const group = (weights: string) => `config_groups: {g: {targets: [Linear], weights: {${weights}}}}`;
  test.each([
    ["FP8", "scheme: FP8"],
    ["FP8_DYNAMIC", "scheme: FP8_DYNAMIC"],
    ["FP8_BLOCK", "scheme: FP8_BLOCK"],
    ["NVFP4", "scheme: NVFP4"],
    ["NVFP4A16", "scheme: NVFP4A16"],
    ["MXFP4", "scheme: MXFP4"],
    ["MXFP8", "scheme: MXFP8"],
    ["int8-tensor", group("num_bits: 8, strategy: tensor")],
    ["int4-channel", group("num_bits: 4, symmetric: false, strategy: channel")],
    ["int4-block", group("num_bits: 4, strategy: block, block_structure: [32, 64]")],
    ["float4-channel", group("num_bits: 4, type: float, strategy: channel")],
    ["float8-group", group("num_bits: 8, type: float, strategy: group, group_size: 32")],
  ])("%s: an output error at most one percent above the reference's, for every module", async (name, scheme) => {
    const output = join(await temporaryFolder(), name);
    await oneshot({ ...run, recipe: `GPTQModifier: {ignore: [lm_head], ${scheme}}`, output });
    const found = await readWeights(output);
    for (const [path, expected] of Object.entries<number>(gptqErrors[name])) {
      const { data: moment } = observer.moments.get(path) as Tensor<"F32">;
      expect(error(dense.get(path) as Float32Array, found.get(path), moment) / expected, path).toBeLessThan(1.01);
    }
  });
});

/** trace((W − Ŵ) XᵀX (W − Ŵ)ᵀ): what the rounding does to the module's output. */
function error(weight: Float32Array, rounded: Float32Array | undefined, moment: Float32Array): number {
  const columns = Math.sqrt(moment.length);
  let sum = 0;
  for (let start = 0; start < weight.length; start += columns) {
    for (let i = 0; i < columns; i++) {
      const left = weight[start + i] - (rounded?.[start + i] ?? Number.NaN);
      for (let j = 0; j < columns; j++)
        sum += left * moment[i * columns + j] * (weight[start + j] - (rounded?.[start + j] ?? 0));
    }
  }
  return sum;
}
