import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { Checkpoint } from "./checkpoint.ts";

/**
 * A digest that tells whether a checkpoint is the same as before: of its configuration, of where its tensors lie, and of the
 * size and the time of change of their files. Weights are not read: they are read once in a run, and a digest of them would
 * cost as much again before it begins.
 */
export async function identifyCheckpoint(checkpoint: Checkpoint): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify(checkpoint.config));
  const tensors = [...checkpoint.tensors.values()];
  for (const { file, ...info } of tensors) hash.update(JSON.stringify([basename(file), info]));
  for (const file of new Set(tensors.map(({ file }) => file))) {
    const { size, mtimeMs } = await stat(file);
    hash.update(JSON.stringify([basename(file), size, mtimeMs]));
  }
  return hash.digest("hex");
}
