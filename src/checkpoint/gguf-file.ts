import { type FileHandle, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { type Architecture, parameterName, ROPE_FACTORS } from "../gguf/architectures.ts";
import { decodeTensor } from "../gguf/decode-tensor.ts";
import { HeaderTooShort } from "../gguf/header-reader.ts";
import { architectureOfFile, configOfFile, MetadataReader } from "../gguf/model-config.ts";
import { type GgufHeader, type PlacedTensor, parseGgufHeader } from "../gguf/parse-header.ts";
import { halvesOrder, rotatedRows } from "../gguf/rotary-rows.ts";
import { tokenizerFilesOf } from "../gguf/tokenizer-json.ts";
import { checkFile } from "./contained-file.ts";
import { readAt } from "./read-at.ts";
import type { TensorEncoding, TensorInfo } from "./safetensors.ts";

/** A GGUF file as a checkpoint's parts. */
interface UnpackedGguf {
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
  const parts = await readGgufParts(path);
  const reader = new MetadataReader(path, parts[0].metadata);
  const architecture = architectureOfFile(reader);
  const names = new Set(parts.flatMap(({ tensors }) => tensors.map(({ name }) => name)));
  const config = configOfFile(reader, architecture, names);
  const heads = { queries: Number(config.num_attention_heads), keys: Number(config.num_key_value_heads) };
  const tensors = new Map<string, TensorInfo>();
  for (const { file, tensors: placed } of parts)
    for (const tensor of placed) {
      const info = tensorInfo(file, tensor, architecture, heads);
      if (info) tensors.set(info.name, info);
    }
  const folder = await mkdtemp(join(tmpdir(), "layerwise-gguf-"));
  try {
    for (const [name, content] of Object.entries({ "config.json": config, ...tokenizerFilesOf(reader) }))
      await writeFile(join(folder, name), JSON.stringify(content, null, 2));
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return { folder, config, tensors };
}

/** Reads the headers of all files of a model, whose first one is at `path`. @throws CheckpointError for one that is broken */
export async function readGgufParts(path: string): Promise<GgufPart[]> {
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

/** A tensor under the model's name; undefined for what the model computes itself. */
function tensorInfo(
  file: string,
  { name: stored, type, shape, begin, end }: PlacedTensor,
  architecture: Architecture,
  heads: Readonly<Record<"queries" | "keys", number>>,
): TensorInfo | undefined {
  if (stored === ROPE_FACTORS) return undefined;
  const name = parameterName(architecture, stored);
  if (name === undefined) {
    throw new CheckpointError(
      `${file}: tensor ${JSON.stringify(stored)}, expected those of ${architecture.name}. The model is not one that layerwise knows.`,
    );
  }
  const info = { name, shape, file, begin, end };
  const rotated = architecture.interleavesRotation ? rotatedRows(name) : null;
  const isPlain = type === "F32" || type === "F16" || type === "BF16";
  if (isPlain && !rotated) return { ...info, dtype: type };
  const places = rotated ? halvesOrder(shape[0], checkHeads(file, stored, shape[0], heads[rotated])) : undefined;
  const decode: TensorEncoding["decode"] = (bytes, shape) => decodeTensor(type, shape, bytes);
  return { ...info, dtype: "F32", encoding: { name: type, places, decode } };
}

function checkHeads(file: string, tensor: string, rows: number, heads: number): number {
  if (Number.isInteger(rows / heads / 2)) return heads;
  throw new CheckpointError(`${file}: ${tensor} has ${rows} rows, expected an even number for each of ${heads} heads.`);
}
