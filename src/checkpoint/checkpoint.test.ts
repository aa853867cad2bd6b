import { mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readSafetensors } from "../../test/read-safetensors.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../errors.ts";
import { Tensor } from "../tensor/tensor.ts";
import { type Checkpoint, openCheckpoint } from "./checkpoint.ts";
import { planFiles } from "./layout.ts";

const llama = new URL("../../test/fixtures/models/llama", import.meta.url).pathname;

test("config.json is given as it is, and every tensor is read as it lies in the file", async () => {
  const checkpoint = await openCheckpoint(llama);
  expect(checkpoint.config).toMatchObject({ model_type: "llama", hidden_size: 64 });
  const expected = readSafetensors(join(llama, "model.safetensors"));
  expect([...checkpoint.tensors.keys()].sort()).toEqual([...expected.keys()].sort());
  for (const [name, tensor] of expected) expect(await checkpoint.read(name)).toEqual(tensor);
  await checkpoint.close();
});

test("a tensor that was read owns its bytes from their first", async () => {
  const checkpoint = await openCheckpoint(llama);
  const { data } = await checkpoint.read("model.norm.weight");
  expect([data.byteOffset, data.buffer.byteLength]).toEqual([0, 4 * 64]);
  await checkpoint.close();
});

test("a part of a tensor is read into a given array", async () => {
  const checkpoint = await openCheckpoint(llama);
  const target = new Uint8Array(8);
  await checkpoint.readInto(target, "model.norm.weight", 16);
  expect(target).toEqual((await checkpoint.read("model.norm.weight")).bytes.slice(16, 24));
  await checkpoint.close();
});

test("a tensor without elements is read", async () => {
  const folder = await writeFolder({ a: Tensor.zeros("F32", [0, 3]) });
  const checkpoint = await openCheckpoint(folder);
  expect(await checkpoint.read("a")).toEqual(Tensor.zeros("F32", [0, 3]));
  await checkpoint.close();
});

test("the files of the folder are listed without its folders, and have a path", async () => {
  const folder = await writeFolder({});
  await mkdir(join(folder, "original"));
  const checkpoint = await openCheckpoint(folder);
  expect((await checkpoint.listFiles()).sort()).toEqual(["config.json", "model.safetensors"]);
  expect(checkpoint.pathOf("config.json")).toBe(join(folder, "config.json"));
});

test("many reads at a time share one open file, and closing lets go of it", async () => {
  const checkpoint = await openCheckpoint(llama);
  const names = [...checkpoint.tensors.keys()];
  const tensors = await Promise.all(names.map((name) => checkpoint.read(name)));
  expect(tensors.map(({ shape }) => shape)).toEqual(names.map((name) => checkpoint.info(name).shape));
  await checkpoint.close();
  await checkpoint.close();
});

test("a name that is not there is refused", async () => {
  const folder = await writeFolder({ a: Tensor.zeros("U8", [1]) });
  await expect((await openCheckpoint(folder)).read("b")).rejects.toThrow(
    new CheckpointError(`${folder}: no tensor b, expected one of its 1. Check the name, or get the checkpoint again.`),
  );
});

test("a file that got shorter since it was opened is refused", async () => {
  const folder = await writeFolder({ a: Tensor.zeros("U8", [100]) });
  const checkpoint = await openCheckpoint(folder);
  const file = join(folder, "model.safetensors");
  await truncate(file, checkpoint.info("a").end - 1);
  await expect(checkpoint.read("a")).rejects.toThrow(
    new CheckpointError(`${file}: ends inside a, expected all of its bytes. Get the file again.`),
  );
  await checkpoint.close();
});

test("a file that went away since it was opened is refused, and closing still works", async () => {
  const folder = await writeFolder({ a: Tensor.zeros("U8", [1]) });
  const checkpoint: Checkpoint = await openCheckpoint(folder);
  const file = join(folder, "model.safetensors");
  await rm(file);
  await expect(checkpoint.read("a")).rejects.toThrow(
    new CheckpointError(`${file}: cannot be opened any more, expected the weights. Get the file again.`),
  );
  await checkpoint.close();
});

test("a folder that does not exist, and a file in its place, are refused", async () => {
  for (const path of [join(llama, "nowhere"), join(llama, "config.json")]) {
    await expect(openCheckpoint(path)).rejects.toThrow(
      new CheckpointError(`${path}: cannot be read, expected a checkpoint's folder. Check the path of the model.`),
    );
  }
});

test.each<[what: string, files: Record<string, string>, message: (folder: string) => string]>([
  [
    "without config.json",
    { "model.safetensors": "" },
    (folder) => `${folder}/config.json: cannot be read, expected a JSON file. Check the path of the model.`,
  ],
  [
    "with a config.json that does not parse",
    { "config.json": "{" },
    (folder) => `${folder}/config.json: does not parse, expected JSON. Get the file again.`,
  ],
  [
    "with a config.json that is a list",
    { "config.json": "[]" },
    (folder) => `${folder}/config.json: not an object, expected the model's settings. Get the file again.`,
  ],
  [
    "without weights",
    { "config.json": "{}" },
    (folder) =>
      `${folder}: no model.safetensors, expected it or model.safetensors.index.json. Check the path of the model.`,
  ],
  [
    "with pickled weights only",
    { "config.json": "{}", "pytorch_model-00001-of-00002.bin": "" },
    (folder) =>
      `${folder}: no model.safetensors, expected it or model.safetensors.index.json. pytorch_model-00001-of-00002.bin may hold code and is never read: convert it to safetensors first.`,
  ],
])("a folder %s is refused", async (_, files, message) => {
  const folder = await temporaryFolder();
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  await expect(openCheckpoint(folder)).rejects.toThrow(new CheckpointError(message(folder)));
});

test("a tensor too large for memory is listed, and refused when it is read", async () => {
  const [{ header, size }] = planFiles([{ name: "a", dtype: "U8", shape: [2 ** 40] }]);
  const folder = await temporaryFolder({ "config.json": "{}", "model.safetensors": header });
  await truncate(join(folder, "model.safetensors"), size); // takes no room on disk
  const checkpoint = await openCheckpoint(folder);
  expect(checkpoint.info("a").shape).toEqual([2 ** 40]);
  await expect(checkpoint.read("a")).rejects.toThrow(
    new CheckpointError("a: 1099511627776 bytes, expected a tensor that fits into memory. Split it."),
  );
});

test("model.safetensors goes before an index beside it", async () => {
  const folder = await writeFolder({ a: Tensor.zeros("U8", [1]) });
  await writeFile(join(folder, "model.safetensors.index.json"), '{"weight_map":{"b":"gone.safetensors"}}');
  expect([...(await openCheckpoint(folder)).tensors.keys()]).toEqual(["a"]);
});

/** A folder with config.json and one safetensors file. */
async function writeFolder(tensors: Record<string, Tensor>): Promise<string> {
  const folder = await temporaryFolder();
  const [{ header, places }] = planFiles(Object.entries(tensors).map(([name, tensor]) => ({ ...tensor, name })));
  const bytes = [...places.keys()].map((name) => tensors[name].bytes);
  await writeFile(join(folder, "model.safetensors"), Buffer.concat([header, ...bytes]));
  await writeFile(join(folder, "config.json"), "{}");
  return folder;
}
