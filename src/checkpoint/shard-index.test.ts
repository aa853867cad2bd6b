import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { CheckpointError } from "../errors.ts";
import { planFiles } from "./layout.ts";
import { printIndex, readShards } from "./shard-index.ts";

test("each tensor is found in the shard that the index names", async () => {
  const folder = await writeShards({ x: ["a", "__proto__"], y: ["b"] });
  const tensors = await read(folder, '{"a":"x.safetensors","b":"y.safetensors","__proto__":"x.safetensors"}');
  expect([...tensors].map(([name, { file }]) => [name, file])).toEqual([
    ["__proto__", join(folder, "x.safetensors")],
    ["a", join(folder, "x.safetensors")],
    ["b", join(folder, "y.safetensors")],
  ]);
});

test("of a tensor in two shards, the one that the index names counts", async () => {
  const folder = await writeShards({ x: ["a", "b"], y: ["a"] });
  const tensors = await read(folder, '{"a":"y.safetensors","b":"x.safetensors"}');
  expect(tensors.get("a")?.file).toBe(join(folder, "y.safetensors"));
});

test.each(["../x.safetensors", "/etc/x.safetensors", "sub/x.safetensors", "..\\x.safetensors", "..", "", "x.bin"])(
  "a shard named %j is refused",
  async (shard) => {
    const folder = await writeShards({});
    await expect(read(folder, `{"a":${JSON.stringify(shard)}}`)).rejects.toThrow(
      new CheckpointError(
        `${folder}/index.json: names the file ${JSON.stringify(shard)}, expected a .safetensors file in the same folder. Get the checkpoint again.`,
      ),
    );
  },
);

test("a tensor that its shard lacks is refused", async () => {
  const folder = await writeShards({ x: ["a"], y: ["b"] });
  await expect(read(folder, '{"a":"x.safetensors","b":"x.safetensors"}')).rejects.toThrow(
    new CheckpointError(
      `${folder}/index.json: b is not in x.safetensors, expected it there. Get the checkpoint again.`,
    ),
  );
});

test("a shard that is not there is refused", async () => {
  const folder = await writeShards({});
  await expect(read(folder, '{"a":"x.safetensors"}')).rejects.toThrow(
    new CheckpointError(`${folder}/x.safetensors: cannot be opened, expected a safetensors file. Check the path.`),
  );
});

test.each(["1", "null", '{"a":1}'])("a weight map %s is refused", async (weightMap) => {
  const folder = await writeShards({});
  await expect(read(folder, weightMap)).rejects.toThrow(
    new CheckpointError(
      `${folder}/index.json: weight_map: not an object of file names, expected one for each tensor. Get the file again.`,
    ),
  );
});

test("an index has sorted names and totals, as json.dumps prints them", () => {
  const names = ["b", "2", "10", "__proto__"];
  const tensors = names.map((name) => ({ name, dtype: "BF16", shape: [2, 3] }) as const);
  expect(printIndex(planFiles(tensors, 24), tensors)).toBe(`{
  "metadata": {
    "total_parameters": 24,
    "total_size": 48
  },
  "weight_map": {
    "10": "model-00001-of-00002.safetensors",
    "2": "model-00001-of-00002.safetensors",
    "__proto__": "model-00002-of-00002.safetensors",
    "b": "model-00002-of-00002.safetensors"
  }
}
`);
});

async function read(folder: string, weightMap: string): ReturnType<typeof readShards> {
  await writeFile(join(folder, "index.json"), `{"weight_map":${weightMap}}`);
  return readShards(join(folder, "index.json"));
}

/** A folder with files of one-byte tensors, whose names are given for each file. */
async function writeShards(shards: Record<string, string[]>): Promise<string> {
  const folder = await temporaryFolder();
  for (const [file, names] of Object.entries(shards)) {
    const [{ header }] = planFiles(names.map((name) => ({ name, dtype: "U8", shape: [1] })));
    await writeFile(join(folder, `${file}.safetensors`), Buffer.concat([header, new Uint8Array(names.length)]));
  }
  return folder;
}
