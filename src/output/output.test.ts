import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readSafetensors } from "../../test/read-safetensors.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { Checkpoint, openCheckpoint } from "../checkpoint/checkpoint.ts";
import { readHeader } from "../checkpoint/safetensors.ts";
import { CheckpointError } from "../errors.ts";
import { type DType, viewBytes } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { openOutput } from "./output.ts";

const FIXTURES = new URL("../../test/fixtures/", import.meta.url).pathname;
const saved = ["checkpoint/layout.safetensors", "models/llama/model.safetensors"];

const one = { name: "a", dtype: "U8", shape: [1] } as const;
const a = new Tensor("U8", [1], Uint8Array.of(7));

test.each(saved)("%s, written again from its tensors, has the same bytes", async (file) => {
  const folder = await newPath();
  const tensors = readSafetensors(FIXTURES + file);
  const output = await openOutput({ folder, tensors: specsOf(tensors) });
  for (const [name, tensor] of tensors) await output.write(name, tensor);
  await output.finish();
  expect(await readdir(folder)).toEqual(["checksums.json", "model.safetensors"]);
  expect(await contents(folder, "model.safetensors")).toEqual(await readFile(FIXTURES + file));
});

test.each(saved)("%s, copied tensor by tensor, has the same bytes", async (file) => {
  const folder = await newPath();
  const tensors = await readHeader(FIXTURES + file);
  const checkpoint = new Checkpoint("f", {}, new Map(tensors.map((info) => [info.name, info])));
  const output = await openOutput({ folder, tensors });
  for (const { name } of tensors.toReversed()) await output.copyTensor(name, checkpoint);
  await output.finish();
  await checkpoint.close();
  expect(await contents(folder, "model.safetensors")).toEqual(await readFile(FIXTURES + file));
});

test("a tensor of several chunks is copied whole", async () => {
  const folder = await newPath();
  const large = new Tensor(
    "I32",
    [5_000_001],
    Int32Array.from({ length: 5_000_001 }, (_, index) => index * 7919),
  );
  const first = await openOutput({ folder, tensors: [{ name: "large", ...large }] });
  await first.write("large", large);
  await first.writeText("config.json", "{}");
  await first.finish();
  const checkpoint = await openCheckpoint(folder);
  const second = await openOutput({ folder: `${folder}-copy`, tensors: [...checkpoint.tensors.values()] });
  await second.copyTensor("large", checkpoint);
  await second.finish();
  await checkpoint.close();
  const copy = await contents(`${folder}-copy`, "model.safetensors");
  expect(copy.equals(await contents(folder, "model.safetensors"))).toBe(true);
});

test("a tensor is converted while it is copied, chunk by chunk", async () => {
  const folder = await newPath();
  const length = 5_000_001;
  const stored = new Tensor(
    "I32",
    [length],
    Int32Array.from({ length }, (_, index) => index * 7919),
  );
  const first = await openOutput({ folder, tensors: [{ name: "large", ...stored }] });
  await first.write("large", stored);
  await first.writeText("config.json", "{}");
  await first.finish();
  const checkpoint = await openCheckpoint(folder);
  const second = await openOutput({
    folder: `${folder}-copy`,
    tensors: [{ name: "large", dtype: "F64", shape: [length] }],
  });
  const convert = (bytes: Uint8Array) => new Uint8Array(Float64Array.from(viewBytes("I32", bytes)).buffer);
  await second.copyTensor("large", checkpoint, { dtype: "F64", convert });
  const copied = await second.read("large");
  expect(Buffer.from(copied.bytes).equals(convert(stored.bytes))).toBe(true);
  await second.finish();
  await checkpoint.close();
});

test("shards are filled in any order and have an index", async () => {
  const folder = await newPath();
  const tensors = new Map(
    ["a", "b", "c"].map((name, index) => [name, new Tensor("F32", [2], Float32Array.of(index, 1))]),
  );
  const output = await openOutput({ folder, tensors: specsOf(tensors), maxShardSize: 16 });
  await Promise.all([...tensors].reverse().map(([name, tensor]) => output.write(name, tensor)));
  await output.writeText("config.json", "{}");
  await output.finish();
  expect((await readdir(folder)).sort()).toEqual([
    "checksums.json",
    "config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
  ]);
  const checkpoint = await openCheckpoint(folder);
  for (const [name, tensor] of tensors) expect(await checkpoint.read(name)).toEqual(tensor);
  await checkpoint.close();
});

test("files and texts lie beside the weights", async () => {
  const folder = await newPath();
  const output = await openOutput({ folder, tensors: [] });
  await output.copyFile(`${FIXTURES}models/llama/generation_config.json`);
  await output.writeText("recipe.yaml", "é: 1\n");
  await output.finish();
  expect(await contents(folder, "generation_config.json")).toEqual(
    await readFile(`${FIXTURES}models/llama/generation_config.json`),
  );
  expect(await contents(folder, "recipe.yaml")).toEqual(Buffer.from("é: 1\n"));
});

test.each(["model.safetensors", "model.safetensors.index.json", "../config.json", "sub/config.json"])(
  "a text named %s is refused",
  async (name) => {
    const output = await openOutput({ folder: await newPath(), tensors: [one] });
    await expect(output.writeText(name, "")).rejects.toThrow(
      new CheckpointError(`${name}: cannot be written, expected the plain name of a file other than the weights'.`),
    );
    await output.abandon(undefined);
  },
);

test.each<[what: string, name: string, tensor: Tensor, message: string]>([
  ["that is not planned", "b", a, "b: not planned, expected one of the tensors given to openOutput."],
  ["of another dtype", "a", Tensor.zeros("I8", [1]), "a: I8[1], expected U8[1] as planned."],
  ["of another shape", "a", Tensor.zeros("U8", [1, 1]), "a: U8[1, 1], expected U8[1] as planned."],
])("a tensor %s is refused, and the right one still has its place", async (_, name, tensor, message) => {
  const folder = await newPath();
  const output = await openOutput({ folder, tensors: [one] });
  await expect(output.write(name, tensor)).rejects.toThrow(new CheckpointError(message));
  await output.write("a", a);
  await output.finish();
  expect(readSafetensors(join(folder, "model.safetensors")).get("a")).toEqual(a);
});

test("a tensor is copied only as it was planned", async () => {
  const checkpoint = await openCheckpoint(`${FIXTURES}models/llama`);
  const spec = { name: "model.norm.weight", dtype: "BF16", shape: [64] } as const;
  const output = await openOutput({ folder: await newPath(), tensors: [spec, one] });
  await expect(output.copyTensor(spec.name, checkpoint)).rejects.toThrow(
    new CheckpointError("model.norm.weight: F32[64], expected BF16[64] as planned."),
  );
  await expect(output.copyTensor("a", checkpoint)).rejects.toThrow(/: no tensor a, expected one of its \d+\./);
  await output.abandon(undefined);
  await checkpoint.close();
});

test("a tensor is written once, even while it is being written", async () => {
  const output = await openOutput({ folder: await newPath(), tensors: [one] });
  const twice = new CheckpointError("a: written twice, expected each tensor once.");
  const first = output.write("a", a);
  await expect(output.write("a", a)).rejects.toThrow(twice);
  await first;
  await expect(output.write("a", a)).rejects.toThrow(twice);
  await output.abandon(undefined);
});

test("an output that lacks tensors is not finished, and goes on", async () => {
  const folder = await newPath();
  const output = await openOutput({ folder, tensors: [one, { ...one, name: "b" }, { ...one, name: "c" }] });
  await output.write("a", a);
  await expect(output.finish()).rejects.toThrow(
    new CheckpointError(`${folder}: b and 1 more not written, expected every planned tensor.`),
  );
  await output.write("b", a);
  await expect(output.finish()).rejects.toThrow(
    new CheckpointError(`${folder}: c not written, expected every planned tensor.`),
  );
  await output.write("c", a);
  await output.finish();
  expect(await readdir(folder)).toEqual(["checksums.json", "model.safetensors"]);
});

test("a tensor that is still being written keeps the output from its end", async () => {
  const output = await openOutput({ folder: await newPath(), tensors: [one] });
  const writing = output.write("a", a);
  await expect(output.finish()).rejects.toThrow(/a not written/);
  await writing;
  await output.finish();
});

test("a tensor that comes after the end is refused", async () => {
  const output = await openOutput({ folder: await newPath(), tensors: [one] });
  await output.abandon(undefined);
  await expect(output.write("a", a)).rejects.toThrow(
    new CheckpointError("a: written to a closed output, expected one before its end."),
  );
});

test("the output appears at the end, and until then there is only the partial folder", async () => {
  const folder = await newPath();
  const output = await openOutput({ folder, tensors: [] });
  expect(await siblings(folder)).toEqual(["output.partial"]);
  await output.finish();
  expect(await siblings(folder)).toEqual(["output"]);
});

test("what is aborted leaves nothing behind", async () => {
  const folder = await newPath();
  const output = await openOutput({ folder, tensors: [one] });
  await output.abandon(undefined);
  await output.abandon(undefined);
  expect(await siblings(folder)).toEqual([]);
});

test("a plan that cannot be made leaves nothing behind", async () => {
  const folder = await newPath();
  await expect(openOutput({ folder, tensors: [one, one] })).rejects.toThrow(CheckpointError);
  expect(await siblings(folder)).toEqual([]);
});

test("folders above the output are created, and an empty output folder is used", async () => {
  const folder = join(await newPath(), "above", "model");
  await (await openOutput({ folder, tensors: [] })).finish();
  const empty = await newPath();
  await mkdir(empty);
  await (await openOutput({ folder: empty, tensors: [] })).finish();
  const files = ["checksums.json", "model.safetensors"];
  expect([await readdir(folder), await readdir(empty)]).toEqual([files, files]);
});

test("an output folder with files in it is refused, and a file in its place", async () => {
  const folder = await newPath();
  await mkdir(folder);
  await writeFile(join(folder, "mine"), "");
  for (const path of [folder, join(folder, "mine")]) {
    await expect(openOutput({ folder: path, tensors: [] })).rejects.toThrow(
      new CheckpointError(
        `${path}: exists already, expected a new or empty folder. Choose another output, or pass --overwrite.`,
      ),
    );
  }
  expect(await siblings(folder)).toEqual(["output"]);
});

test("a partial folder that is there already is refused, and left alone", async () => {
  const folder = await newPath();
  await mkdir(`${folder}.partial`);
  await writeFile(join(`${folder}.partial`, "mine"), "");
  await expect(openOutput({ folder, tensors: [] })).rejects.toThrow(
    new CheckpointError(
      `${folder}.partial: exists already, expected none. A run was stopped: pass --resume to go on with it, or --overwrite to start anew.`,
    ),
  );
  expect(await readdir(`${folder}.partial`)).toEqual(["mine"]);
});

test("overwriting replaces the folder at the end and not before", async () => {
  const folder = await newPath();
  await mkdir(`${folder}.partial`);
  await writeFile(join(`${folder}.partial`, "stale"), "");
  await mkdir(folder);
  await writeFile(join(folder, "old"), "");
  const output = await openOutput({ folder, tensors: [], overwrite: true });
  expect(await readdir(folder)).toEqual(["old"]);
  await output.finish();
  expect(await readdir(folder)).toEqual(["checksums.json", "model.safetensors"]);
  expect(await siblings(folder)).toEqual(["output"]);
});

test("an aborted overwriting leaves the old folder", async () => {
  const folder = await newPath();
  await mkdir(folder);
  await writeFile(join(folder, "old"), "");
  await (await openOutput({ folder, tensors: [], overwrite: true })).abandon(undefined);
  expect(await readdir(folder)).toEqual(["old"]);
});

test("a folder that was filled meanwhile is not replaced unless asked for, and nothing is lost", async () => {
  const folder = await newPath();
  const output = await openOutput({ folder, tensors: [] });
  await mkdir(folder);
  await writeFile(join(folder, "mine"), "");
  await expect(output.finish()).rejects.toThrow(
    new CheckpointError(
      `${folder}: cannot be created, expected a free place. Free it, or move ${folder}.partial/output yourself.`,
    ),
  );
  expect(await readdir(folder)).toEqual(["mine"]);
  expect(await readdir(`${folder}.partial/output`)).toEqual(["checksums.json", "model.safetensors"]);
});

test("a checkpoint may be replaced by its own copy", async () => {
  const folder = await newPath();
  const first = await openOutput({ folder, tensors: [one] });
  await first.write("a", a);
  await first.writeText("config.json", "{}");
  await first.finish();
  const checkpoint = await openCheckpoint(folder);
  const second = await openOutput({ folder, tensors: [one], overwrite: true });
  await second.copyTensor("a", checkpoint);
  await second.copyFile(checkpoint.pathOf("config.json"));
  await second.finish();
  await checkpoint.close();
  expect((await openCheckpoint(folder)).tensors.size).toBe(1);
  expect(readSafetensors(join(folder, "model.safetensors")).get("a")).toEqual(a);
});

/** Path of a folder `output` that does not exist yet. */
async function newPath(): Promise<string> {
  return join(await temporaryFolder(), "output");
}

function siblings(folder: string): Promise<string[]> {
  return readdir(join(folder, ".."));
}

function contents(folder: string, file: string): Promise<Buffer> {
  return readFile(join(folder, file));
}

function specsOf(tensors: ReadonlyMap<string, Tensor>): { name: string; dtype: DType; shape: readonly number[] }[] {
  return Array.from(tensors, ([name, { dtype, shape }]) => ({ name, dtype, shape }));
}
