import { type FileHandle, open } from "node:fs/promises";
import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { byteSize, type DType, isDType } from "../tensor/dtype.ts";
import { elementCount, type Tensor } from "../tensor/tensor.ts";
import { checkFile } from "./contained-file.ts";
import { findDuplicateName } from "./duplicate-name.ts";
import { decodeJson } from "./parse-json.ts";
import { readAt } from "./read-at.ts";

/** A tensor in a safetensors file: what it is and where its bytes lie. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Path of the file. */
  readonly file: string;
  /** Position of the first byte in the file. */
  readonly begin: number;
  /** Position after the last byte. */
  readonly end: number;
  /** How its bytes become values of `dtype`, where they are not these values themselves. */
  readonly encoding?: TensorEncoding;
}

/** A way in which another format than safetensors stores values. */
export interface TensorEncoding {
  readonly name: string;
  /** Where rows lie in another order than the model has them: row i of the model is row `places[i]` of the file. */
  readonly places?: Uint32Array;
  /** Whether the file has [columns, rows]: only the whole can be decoded. */
  readonly transposed?: boolean;
  /** The values of whole rows' bytes; `shape` is that of these rows. */
  decode(bytes: Uint8Array, shape: readonly number[]): Tensor<"F32">;
}

/** The name in a header that is no tensor's: what it holds are strings about the file. */
export const METADATA = "__metadata__";

/** Longest header that is read, as in the reference implementation. */
const MAX_HEADER = 100_000_000;
const LENGTH_BYTES = 8;

/** A whole number; JSON's `-0` is none. */
const size = z
  .number()
  .int()
  .nonnegative()
  .refine((value) => !Object.is(value, -0));

const entrySchema = z.strictObject({ dtype: z.string(), shape: z.array(size), data_offsets: z.tuple([size, size]) });
const metadataSchema = z.record(z.string(), z.string());

/**
 * Reads the header of a safetensors file.
 *
 * @returns the tensors in the order of their bytes
 * @throws CheckpointError for anything that is not exactly as the format says: nothing of the file is trusted
 */
export async function readHeader(file: string): Promise<TensorInfo[]> {
  const handle = await openContained(file).catch((cause) => {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${file}: cannot be opened, expected a safetensors file. Check the path.`, { cause });
  });
  try {
    const { size } = await handle.stat();
    return parseHeader(file, await readHeaderBytes(file, handle, size), size);
  } finally {
    await handle.close();
  }
}

/** Opening a pipe would wait for someone to write: it is checked first. */
async function openContained(file: string): Promise<FileHandle> {
  await checkFile(file);
  return open(file);
}

async function readHeaderBytes(file: string, handle: FileHandle, fileSize: number): Promise<Uint8Array> {
  const prefix = new Uint8Array(LENGTH_BYTES);
  if ((await readAt(handle, 0, prefix)) < LENGTH_BYTES) throw broken(file, `${fileSize} bytes`, "a header's length");
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  const limit = Math.min(MAX_HEADER, fileSize - LENGTH_BYTES);
  if (length > limit) throw broken(file, `a header of ${length} bytes`, `at most ${limit} in a file of ${fileSize}`);
  const header = new Uint8Array(Number(length));
  await readAt(handle, LENGTH_BYTES, header);
  return header;
}

/** Checks the bytes of a header against the size of its file. */
export function parseHeader(file: string, header: Uint8Array, fileSize: number): TensorInfo[] {
  const start = LENGTH_BYTES + header.length;
  const entries = parseEntries(file, header);
  const tensors = entries.map(([name, entry]) => toInfo(file, name, entry, start));
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let position = start;
  for (const { name, begin, end } of tensors) {
    if (begin !== position) {
      throw broken(file, `tensor ${excerpt(name)} begins at byte ${begin}`, `byte ${position}, without gap or overlap`);
    }
    position = end;
  }
  if (position !== fileSize) throw broken(file, `tensors that end at byte ${position} of ${fileSize}`, "its end");
  return tensors;
}

function toInfo(file: string, name: string, entry: unknown, start: number): TensorInfo {
  const result = entrySchema.safeParse(entry);
  if (!result.success) {
    throw broken(
      file,
      `tensor ${excerpt(name)} is ${excerpt(entry)}`,
      "dtype, shape and data_offsets, in whole numbers",
    );
  }
  const { dtype, shape, data_offsets: offsets } = result.data;
  if (!isDType(dtype)) {
    throw new CheckpointError(
      `${file}: tensor ${excerpt(name)} has dtype ${excerpt(dtype)}, expected one that layerwise knows. Convert it first.`,
    );
  }
  const expected = byteSize(dtype) * elementCount(shape.map((length) => length || 1));
  if (!Number.isSafeInteger(expected)) {
    throw broken(file, `tensor ${excerpt(name)} has shape [${shape.join(", ")}]`, "one that a file can hold");
  }
  const [found, bytes] = [offsets[1] - offsets[0], byteSize(dtype) * elementCount(shape)];
  if (found !== bytes) {
    throw broken(file, `tensor ${excerpt(name)} has ${found} bytes`, `${bytes} for ${dtype}[${shape.join(", ")}]`);
  }
  return { name, dtype, shape, file, begin: start + offsets[0], end: start + offsets[1] };
}

/** The members of the header's JSON but for its metadata. */
function parseEntries(file: string, header: Uint8Array): [name: string, entry: unknown][] {
  const entries = new Map(Object.entries(parseObject(file, header)));
  const metadata = entries.get(METADATA) ?? {};
  if (!metadataSchema.safeParse(metadata).success) {
    throw broken(file, `${METADATA} is ${excerpt(metadata)}`, "an object of strings");
  }
  entries.delete(METADATA);
  return [...entries];
}

function parseObject(file: string, header: Uint8Array): object {
  if (header[0] !== 0x7b) throw broken(file, "a header of another kind", "a JSON object that begins at byte 8");
  let text: string;
  let object: object;
  try {
    text = decodeJson(header);
    object = JSON.parse(text) as object;
  } catch (cause) {
    throw broken(file, "a header that does not parse", "JSON in UTF-8", cause);
  }
  const duplicate = findDuplicateName(text);
  if (duplicate !== undefined) throw broken(file, `${excerpt(duplicate)} is there twice`, "each name once");
  return object;
}

/** A value in a message, cut where it is long. */
function excerpt(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}

function broken(file: string, found: string, expected: string, cause?: unknown): CheckpointError {
  return new CheckpointError(`${file}: ${found}, expected ${expected}. The file is broken; get it again.`, { cause });
}
