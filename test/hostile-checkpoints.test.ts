import { cp, lstat, mkdir, open, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { openCheckpoint } from "../src/checkpoint/checkpoint.ts";
import { planFiles } from "../src/checkpoint/layout.ts";
import { CheckpointError, CompressionError } from "../src/errors.ts";
import { QuantizationModifier } from "../src/modifiers/quantization.ts";
import { oneshot } from "../src/oneshot.ts";
import type { OneshotOptions } from "../src/oneshot-options.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const MODEL = fileURLToPath(new URL("./fixtures/compressed/model", import.meta.url));
const scale = "model.layers.0.mlp.up_proj.weight_scale";

/** Rounds every linear but `kept` to the nearest of 16 codes. */
const rtn = (...kept: string[]) =>
  new QuantizationModifier({
    ignore: ["lm_head", ...kept],
    configGroups: { group: { targets: ["Linear"], weights: { numBits: 4, groupSize: 32 } } },
  });

/** Rounds a model; returns where the output lies, and its tensors. */
async function run(options: Partial<OneshotOptions> = {}) {
  const output = options.output ?? join(await temporaryFolder(), "output");
  await oneshot({ model: MODEL, recipe: rtn(), threads: 1, ...options, output });
  return { output, tensors: readSafetensors(join(output, "model.safetensors")) };
}

/** A copy of the model in which the values of a tensor from `index` on are another. */
async function damaged(tensor: string, index: number, value: number, count = 1): Promise<string> {
  const copy = join(await temporaryFolder(), "model");
  await cp(MODEL, copy, { recursive: true });
  const checkpoint = await openCheckpoint(copy);
  const begin = checkpoint.tensors.get(tensor)?.begin as number;
  await checkpoint.close();
  const file = await open(join(copy, "model.safetensors"), "r+");
  await file.write(new Uint8Array(new Float32Array(count).fill(value).buffer), 0, 4 * count, begin + 4 * index);
  await file.close();
  return copy;
}

/** A copy of the model with one more tensor, of one element. */
async function modelWith(name: string, dtype: "I32" | "U8"): Promise<string> {
  const copy = join(await temporaryFolder(), "model");
  await cp(MODEL, copy, { recursive: true });
  const checkpoint = await openCheckpoint(copy);
  const specs = [...checkpoint.tensors.values(), { name, dtype, shape: [1] }];
  const [{ header, places, size }] = planFiles(specs);
  const bytes = new Uint8Array(size);
  bytes.set(header);
  for (const tensor of checkpoint.tensors.keys()) {
    bytes.set((await checkpoint.read(tensor)).bytes, places.get(tensor)?.position);
  }
  await checkpoint.close();
  await writeFile(join(copy, "model.safetensors"), bytes);
  return copy;
}

test.each(["weight_packed", "weight_scale", "weight_g_idx"])(
  "a checkpoint that holds a %s already is refused, unless its module is ignored",
  async (field) => {
    const [module, name] = ["model.layers.0.mlp.up_proj", `model.layers.0.mlp.up_proj.${field}`];
    const model = await modelWith(name, "I32");
    await expect(run({ model })).rejects.toThrow(
      new CheckpointError(
        `${name}: in the checkpoint already, expected it free for the compressed weight. Remove the tensor, or ignore ${module}.`,
      ),
    );
    const { tensors } = await run({ model, recipe: rtn(module) });
    expect(tensors.get(name)?.dtype).toBe("I32");
  },
);

test("companion files that are links to other folders, pipes or devices are not copied; once gone, the run goes on", async () => {
  for (const target of ["/etc/passwd", "/dev/zero", "/etc", "/nowhere"]) {
    const model = await modelWith("unused", "U8");
    await symlink(target, join(model, "vocab.txt"));
    const folder = await temporaryFolder();
    const error = await run({ model, output: join(folder, "output") }).catch((thrown) => thrown);
    expect([error, error.cause].map(({ name }) => name)).toEqual(["InterruptedError", "CheckpointError"]);
    expect(error.message).toContain(`${model}/vocab.txt: `);
    expect(await readdir(folder)).toEqual(["output.partial"]);
    await rm(join(model, "vocab.txt"));
    await run({ model, output: join(folder, "output"), resume: true });
    expect(await readdir(folder)).toEqual(["output"]);
  }
});

test("a snapshot in the Hub's cache, all of whose files are links, is compressed", async () => {
  const repository = await temporaryFolder();
  const [blobs, snapshot] = [join(repository, "blobs"), join(repository, "snapshots", "main")];
  await cp(MODEL, blobs, { recursive: true });
  await mkdir(snapshot, { recursive: true });
  for (const file of await readdir(blobs)) await symlink(`../../blobs/${file}`, join(snapshot, file));
  const { output, tensors } = await run({ model: snapshot });
  const copied = await lstat(join(output, "tokenizer.json"));
  expect(copied.isFile()).toBe(true);
  expect((await run()).tensors).toEqual(tensors);
});

test("values that F16 has no room for are refused, in dense and in quantized tensors", async () => {
  for (const tensor of ["model.norm.weight", "model.layers.0.mlp.up_proj.weight"]) {
    const model = await damaged(tensor, 3, 1e6);
    await expect(run({ model, precision: "F16" })).rejects.toThrow(CompressionError);
    await expect(run({ model, precision: "F16" })).rejects.toThrow(tensor);
  }
});

test("weights whose codes could decode to infinity are refused", async () => {
  const model = await damaged("model.layers.0.mlp.up_proj.weight", 0, 3.4e38);
  await expect(run({ model })).rejects.toThrow(
    new CompressionError(
      "model.layers.0.mlp.up_proj.weight: values so large that their codes decode to infinity in F32, expected ones nearer to 0. Repair the checkpoint.",
    ),
  );
  const large = await damaged("model.layers.0.mlp.up_proj.weight", 0, 3e38);
  const { data } = (await run({ model: large })).tensors.get(scale) as Tensor<"F32">;
  expect(data[0]).toBe(Math.fround(3e38 / 7.5));
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
  "a weight with %d in it is refused by name, and nothing is written",
  async (value) => {
    const model = await damaged("model.layers.0.mlp.up_proj.weight", 77, value);
    const output = join(await temporaryFolder(), "output");
    const refused = run({ model, output });
    await expect(refused).rejects.toThrow(CompressionError);
    await expect(refused).rejects.toThrow(/^model\.layers\.0\.mlp\.up_proj/);
    expect(await readdir(join(output, ".."))).toEqual([]);
  },
);

test("a group of denormal weights, and one of zeros, get scales that are positive and codes that are decoded to next to nothing", async () => {
  for (const value of [1e-40, -(2 ** -149), 0]) {
    const model = await damaged("model.layers.0.mlp.up_proj.weight", 0, value, 32);
    const { data } = (await run({ model })).tensors.get(scale) as Tensor<"F32">;
    expect(data[0]).toBeGreaterThan(0);
    expect(data[0]).toBeLessThan(1e-6);
  }
});
