import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { encodeHeader, type TensorEntry } from "../src/gguf/encode-header.ts";
import { align, planGguf } from "../src/gguf/layout.ts";
import type { MetadataValue } from "../src/gguf/metadata.ts";
import { parseGgufHeader } from "../src/gguf/parse-header.ts";
import type { TensorType } from "../src/gguf/tensor-types.ts";

/** A tensor of a file, with its bytes. */
export interface StoredTensor {
  readonly name: string;
  type: TensorType;
  shape: readonly number[];
  bytes: Uint8Array;
}

/** All that a file consists of, to be changed. */
export interface GgufContent {
  readonly metadata: Map<string, MetadataValue>;
  tensors: StoredTensor[];
}

/** Path of the only GGUF file in a folder, or of several the one of this number. */
export async function ggufIn(folder: string, number = 0): Promise<string> {
  return join(folder, (await readdir(folder)).sort()[number]);
}

async function readGguf(path: string): Promise<GgufContent> {
  const bytes = await readFile(path);
  const { metadata, tensors } = parseGgufHeader(path, bytes, bytes.length);
  const stored = tensors.map(({ begin, end, ...tensor }) => ({ ...tensor, bytes: bytes.slice(begin, end) }));
  return { metadata: new Map(metadata), tensors: stored };
}

/** Rewrites the only file of a folder. */
export async function editGguf(folder: string, change: (content: GgufContent) => void): Promise<void> {
  const path = await ggufIn(folder);
  const content = await readGguf(path);
  change(content);
  const [{ header, places, size }] = planGguf("m", content.metadata, content.tensors);
  const file = new Uint8Array(size);
  file.set(header);
  for (const { tensor, position } of places) file.set(tensor.bytes, position);
  await writeFile(path, file);
}

/** Rewrites what the header of the only file says of tensors, and none of their bytes. */
export async function editEntries(folder: string, change: (entry: TensorEntry) => TensorEntry): Promise<void> {
  const path = await ggufIn(folder);
  const { metadata, tensors } = await readGguf(path);
  let end = 0;
  const entries = tensors.map(({ name, type, shape, bytes }) => {
    const offset = align(end);
    end = offset + bytes.length;
    return { name, type, shape, offset };
  });
  const file = await readFile(path);
  file.set(encodeHeader(metadata, entries.map(change))); // as long as the one before
  await writeFile(path, file);
}

/** The tensor of this name. */
export function tensorIn({ tensors }: GgufContent, name: string): StoredTensor {
  const tensor = tensors.find((one) => one.name === name);
  if (!tensor) throw new Error(`${name}: not in the file, expected it there.`);
  return tensor;
}

/** Takes out the digests that a file brings. */
export function forgetDigests(folder: string): Promise<void> {
  return editGguf(folder, ({ metadata }) => {
    for (const key of [...metadata.keys()]) if (key.startsWith("layerwise.")) metadata.delete(key);
  });
}
