import { basename, dirname, join } from "node:path";
import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { elementCount } from "../tensor/tensor.ts";
import { readJsonFile } from "./json-file.ts";
import { byteLength, compareNames, type FileLayout, type TensorSpec } from "./layout.ts";
import { readHeader, type TensorInfo } from "./safetensors.ts";

/** The file that says which shard holds which tensor. */
export const INDEX_FILE = "model.safetensors.index.json";

/** A custom check, as z.record leaves out a tensor named `__proto__`. */
const weightMapSchema = z.custom<Record<string, string>>(
  (value) => typeof value === "object" && value !== null && Object.values(value).every((file) => isString(file)),
  "not an object of file names, expected one for each tensor",
);
const indexSchema = z.object({ weight_map: weightMapSchema }, "not an object, expected one with a weight_map");

/**
 * Reads an index and the headers of its shards, which are files in the same folder.
 *
 * @returns the tensors that the index names
 * @throws CheckpointError for a shard outside of the folder, or without a tensor that the index says it has
 */
export async function readShards(indexFile: string): Promise<Map<string, TensorInfo>> {
  const index = await readJsonFile(indexFile, indexSchema);
  const weightMap = new Map(Object.entries(index.weight_map));
  const tensors = new Map<string, TensorInfo>();
  for (const shard of new Set(weightMap.values())) {
    checkShardName(indexFile, shard);
    for (const info of await readHeader(join(dirname(indexFile), shard))) {
      if (weightMap.get(info.name) === shard) tensors.set(info.name, info);
    }
  }
  for (const [name, shard] of weightMap) {
    if (!tensors.has(name)) {
      throw new CheckpointError(
        `${indexFile}: ${name} is not in ${shard}, expected it there. Get the checkpoint again.`,
      );
    }
  }
  return tensors;
}

/** The text of an index for several files, as Hugging Face's libraries write it. */
export function printIndex(files: readonly FileLayout[], tensors: readonly TensorSpec[]): string {
  const totals = {
    total_parameters: tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    total_size: tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0),
  };
  const shards = files.flatMap(({ name, places }) => [...places.keys()].map((tensor) => [tensor, name] as const));
  shards.sort(([a], [b]) => compareNames(a, b));
  return `{\n  "metadata": ${printMembers(Object.entries(totals))},\n  "weight_map": ${printMembers(shards)}\n}\n`;
}

/** An object inside another. JSON.stringify would move names like "10" to the front. */
function printMembers(members: readonly (readonly [name: string, value: string | number])[]): string {
  const lines = members.map(([name, value]) => `    ${JSON.stringify(name)}: ${JSON.stringify(value)}`);
  return `{\n${lines.join(",\n")}\n  }`;
}

function checkShardName(indexFile: string, shard: string): void {
  if (shard === basename(shard) && !shard.includes("\\") && shard.endsWith(".safetensors")) return;
  throw new CheckpointError(
    `${indexFile}: names the file ${JSON.stringify(shard)}, expected a .safetensors file in the same folder. Get the checkpoint again.`,
  );
}

function isString(value: unknown): value is string {
  return typeof value === "string";
}
