import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { Checkpoint } from "../checkpoint/checkpoint.ts";
import { planFiles } from "../checkpoint/layout.ts";
import { readHeader } from "../checkpoint/safetensors.ts";
import { hasCode } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { syncFolder, writeAt, writing } from "./write-at.ts";

/** SHA-256 of a file; undefined if there is none. */
export async function digestFile(path: string): Promise<string | undefined> {
  const file = await open(path).catch((error) => {
    if (!hasCode(error, "ENOENT")) throw error;
  });
  if (!file) return undefined;
  const hash = createHash("sha256");
  for await (const chunk of file.createReadStream()) hash.update(chunk);
  return hash.digest("hex");
}

/**
 * Writes tensors into a safetensors file of their own, in place of any other; it is on disk when this returns.
 *
 * @returns the digest of the file
 */
export async function writeTensorFile(path: string, tensors: ReadonlyMap<string, Tensor>): Promise<string> {
  const specs = Array.from(tensors, ([name, { dtype, shape }]) => ({ name, dtype, shape }));
  const [{ header, places }] = planFiles(specs, Number.POSITIVE_INFINITY);
  const file = await writing(path, open(path, "w"));
  const hash = createHash("sha256").update(header);
  try {
    await writing(path, writeAt(file, 0, header));
    for (const [name, { position }] of places) {
      const { bytes } = tensors.get(name) as Tensor;
      hash.update(bytes);
      await writing(path, writeAt(file, position, bytes));
    }
    await writing(path, file.sync());
    await syncFolder(dirname(path));
    return hash.digest("hex");
  } finally {
    await file.close();
  }
}

/**
 * Reads tensors of a safetensors file.
 *
 * @param isWanted - which of them, by name; all by default
 * @throws CheckpointError where the file is missing or broken
 */
export async function readTensorFile(
  path: string,
  isWanted: (name: string) => boolean = () => true,
): Promise<Map<string, Tensor>> {
  const infos = new Map((await readHeader(path)).map((info) => [info.name, info]));
  const file = new Checkpoint(path, {}, infos);
  try {
    const tensors = [...infos.keys()].filter(isWanted).map(async (name) => [name, await file.read(name)] as const);
    return new Map(await Promise.all(tensors));
  } finally {
    await file.close();
  }
}
