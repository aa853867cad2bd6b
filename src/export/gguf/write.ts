import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type GgufFile, planGguf } from "../../gguf/layout.ts";
import type { Metadata } from "../../gguf/metadata.ts";
import { NO_DIGEST, withDigests } from "../../output/gguf-digests.ts";
import { writeAt, writing } from "../../output/write-at.ts";
import type { ExportSettings } from "../export-format.ts";
import type { ExportSource } from "../export-source.ts";
import { encodeTensor, type FileOrder } from "./encode-tensor.ts";
import { Losses } from "./losses.ts";
import type { PlannedTensor } from "./plan.ts";
import type { StackedTensor } from "./stack-experts.ts";

/** A tensor that follows from the configuration. */
export interface ComputedTensor {
  readonly name: string;
  readonly type: "F32";
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A tensor of a file, and what it is made of. */
type ModelTensor = PlannedTensor | StackedTensor | ComputedTensor;

/** What one model's files are made of. */
export interface ModelFiles {
  readonly name: string;
  readonly metadata: Metadata;
  readonly tensors: readonly ModelTensor[];
  readonly order: FileOrder;
  /** What llama.cpp does otherwise. */
  readonly warnings: readonly string[];
}

/**
 * Writes the files of a model, a tensor or some rows of one at a time, and warns of what calibrated scales lost.
 *
 * @returns the path of the file, of several the first
 */
export async function writeFiles(
  source: ExportSource,
  folder: string,
  { name, metadata, tensors, order }: ModelFiles,
  { maxShardSize, signal, onProgress }: ExportSettings,
): Promise<string> {
  const losses = new Losses();
  const digests: string[] = [];
  const plan = (sums: readonly string[]) => planGguf(name, withDigests(metadata, tensors, sums), tensors, maxShardSize);
  const files = plan(tensors.map(() => NO_DIGEST));
  for (const file of files) {
    const encode = async function* (tensor: ModelTensor): AsyncGenerator<Uint8Array> {
      signal?.throwIfAborted();
      if ("values" in tensor) return yield new Uint8Array(tensor.values.buffer);
      for (const part of "experts" in tensor ? tensor.experts : [tensor])
        for await (const encoded of encodeTensor(source, part, order)) {
          losses.add(part.path, encoded);
          yield encoded.bytes;
        }
    };
    digests.push(...(await writeFile(join(folder, file.name), file, encode)));
  }
  const path = join(folder, files[0].name);
  await rewriteHeader(path, plan(digests)[0].header);
  for (const message of losses.messages(name)) onProgress?.({ type: "warning", message });
  return path;
}

/** @returns the digest of each tensor's bytes */
async function writeFile(
  path: string,
  { header, places, size }: GgufFile<ModelTensor>,
  encode: (tensor: ModelTensor) => AsyncIterable<Uint8Array>,
): Promise<string[]> {
  const handle = await writing(path, open(path, "wx"));
  try {
    await writing(path, writeAt(handle, 0, header));
    const digests: string[] = [];
    for (const { tensor, position } of places)
      digests.push(
        await writePieces(encode(tensor), (bytes, at) => writing(path, writeAt(handle, position + at, bytes))),
      );
    await writing(path, handle.truncate(size));
    await writing(path, handle.sync());
    return digests;
  } finally {
    await handle.close();
  }
}

/** @returns the digest of all pieces together */
async function writePieces(
  pieces: AsyncIterable<Uint8Array>,
  write: (bytes: Uint8Array, at: number) => Promise<void>,
): Promise<string> {
  const hash = createHash("sha256");
  let at = 0;
  for await (const bytes of pieces) {
    await write(bytes, at);
    hash.update(bytes);
    at += bytes.length;
  }
  return hash.digest("hex");
}

/** The first header of all holds digests of tensors, which are known once these are written. */
async function rewriteHeader(path: string, header: Uint8Array): Promise<void> {
  const handle = await writing(path, open(path, "r+"));
  try {
    await writing(path, writeAt(handle, 0, header));
    await writing(path, handle.sync());
  } finally {
    await handle.close();
  }
}
