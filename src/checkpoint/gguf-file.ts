import { type FileHandle, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { CheckpointError } from "../errors.ts";
import type { Architecture } from "../gguf/architectures.ts";
import { decodeTensor } from "../gguf/decode-tensor.ts";
import { HeaderTooShort } from "../gguf/header-reader.ts";
import { MetadataReader } from "../gguf/metadata-reader.ts";
import { architectureOfFile, configOfFile } from "../gguf/model-config.ts";
import { type GgufHeader, parseGgufHeader } from "../gguf/parse-header.ts";
import type { RopeFactors } from "../gguf/rope-config.ts";
import { ROPE_FACTOR_TENSORS } from "../gguf/tensor-names.ts";
import { tokenizerFilesOf } from "../gguf/tokenizer-json.ts";
import { elementCount } from "../tensor/tensor.ts";
import { checkFile } from "./contained-file.ts";
import { tensorInfos } from "./gguf-tensors.ts";
import { readAt } from "./read-at.ts";
import type { TensorInfo } from "./safetensors.ts";

/** A GGUF file, what it says, and what it is as a checkpoint. */
export interface UnpackedGguf {
  readonly parts: readonly GgufPart[];
  readonly reader: MetadataReader;
  readonly architecture: Architecture;
  /** A temporary folder with config.json and the tokenizer's files. */
  readonly folder: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** By the names that the model has for them. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
}

/** One of the files of a model. */
export interface GgufPart extends GgufHeader {
  readonly file: string;
}

/** Bytes that are read of a header at first, and at the most: tokens and merges of the largest take 20 MB. */
const [FIRST_READ, LARGEST_HEADER] = [2 ** 20, 2 ** 28];

/** Whether a path is a GGUF file's by its name. */
export function isGgufPath(path: string): boolean {
  return path.endsWith(".gguf");
}

/**
 * Opens a GGUF file, of several the first, as a checkpoint: tensors under the model's names, decoded when they are read, queries
 * and keys in the order of rows that config.json's models have.
 *
 * @throws CheckpointError for a file that is broken, or of a model that layerwise does not know
 */
export async function unpackGguf(path: string): Promise<UnpackedGguf> {
  const parts = await readParts(path);
  const reader = new MetadataReader(path, parts[0].metadata);
  const architecture = architectureOfFile(reader);
  const names = new Set(parts.flatMap(({ tensors }) => tensors.map(({ name }) => name)));
  const config = configOfFile(reader, architecture, names, await readRopeFactors(parts));
  const heads = { queries: Number(config.num_attention_heads), keys: Number(config.num_key_value_heads) };
  const tensors = new Map<string, TensorInfo>();
  for (const { file, tensors: placed } of parts)
    for (const tensor of placed) {
      for (const info of tensorInfos(file, tensor, architecture, heads)) tensors.set(info.name, info);
    }
  const folder = await mkdtemp(join(tmpdir(), "layerwise-gguf-"));
  try {
    for (const [name, content] of Object.entries({ "config.json": config, ...tokenizerFilesOf(reader) }))
      await writeFile(join(folder, name), JSON.stringify(content, null, 2));
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return { parts, reader, architecture, folder, config, tensors };
}

/** Reads the headers of all files of a model, whose first one is at `path`. @throws CheckpointError for one that is broken */
async function readParts(path: string): Promise<GgufPart[]> {
  const parts: GgufPart[] = [];
  for (const file of shardPaths(path)) parts.push({ file, ...(await readHeader(file)) });
  return parts;
}

/** All files of a model that is split over several. */
function shardPaths(path: string): string[] {
  const [, stem, first, count] = /^(.*)-(\d{5})-of-(\d{5})\.gguf$/.exec(basename(path)) ?? [];
  if (stem === undefined) return [path];
  if (Number(first) !== 1)
    throw new CheckpointError(`${path}: part ${Number(first)}, expected the first. Name that one.`);
  const number = (index: number) => String(index + 1).padStart(5, "0");
  return Array.from({ length: Number(count) }, (_, index) =>
    join(dirname(path), `${stem}-${number(index)}-of-${count}.gguf`),
  );
}

async function readHeader(file: string): Promise<GgufHeader> {
  const handle = await openFile(file);
  try {
    const { size } = await handle.stat();
    for (let length = FIRST_READ; ; length *= 8) {
      const bytes = new Uint8Array(Math.min(length, size, LARGEST_HEADER));
      await readAt(handle, 0, bytes);
      try {
        return parseGgufHeader(file, bytes, size);
      } catch (error) {
        if (!(error instanceof HeaderTooShort)) throw error;
        if (length < LARGEST_HEADER) continue;
        throw new CheckpointError(`${file}: a header of more than ${LARGEST_HEADER} bytes, expected less.`);
      }
    }
  } finally {
    await handle.close();
  }
}

async function openFile(file: string): Promise<FileHandle> {
  try {
    await checkFile(file);
    return await open(file);
  } catch (cause) {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${file}: cannot be opened, expected a GGUF file. Check the path.`, { cause });
  }
}

/** The most values of such a tensor: one for each pair of a head's columns. */
const MOST_FACTORS = 2 ** 16;

/** Divisors of rotary frequencies, by the name of the tensor that holds them. */
async function readRopeFactors(parts: readonly GgufPart[]): Promise<RopeFactors> {
  const factors = new Map<string, number[]>();
  for (const { file, tensors } of parts)
    for (const { name, type, shape, begin, end } of tensors.filter((tensor) => ROPE_FACTOR_TENSORS.has(tensor.name))) {
      if (elementCount(shape) > MOST_FACTORS)
        throw new CheckpointError(
          `${file}: ${name} of shape [${shape}], expected at most ${MOST_FACTORS} values. Get the file again.`,
        );
      const bytes = new Uint8Array(end - begin);
      const handle = await openFile(file);
      try {
        await readAt(handle, begin, bytes);
      } finally {
        await handle.close();
      }
      factors.set(name, Array.from(decodeTensor(type, shape, bytes).data));
    }
  return factors;
}
