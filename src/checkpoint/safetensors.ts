import { open } from "node:fs/promises";
import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { byteSize, type DType, isDType } from "../tensor/dtype.ts";
import { elementCount } from "../tensor/tensor.ts";

/** A tensor in a safetensors file: what it is and where its bytes lie. */
export interface TensorInfo {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly file: string;
  /** Position of the first byte in the file, and of the one after the last. */
  readonly begin: number;
  readonly end: number;
}

/** Longest header that is read, as in the reference implementation. */
const MAX_HEADER = 100_000_000;
const LENGTH_BYTES = 8;

const entrySchema = z.strictObject({
  dtype: z.string(),
  shape: z.array(z.number().int().nonnegative().max(Number.MAX_SAFE_INTEGER)),
  data_offsets: z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()]),
});

/**
 * Reads the header of a safetensors file.
 *
 * @returns the tensors in the order of their bytes
 * @throws CheckpointError for anything that is not exactly as the format says: nothing of the file is trusted
 */
export async function readHeader(file: string): Promise<TensorInfo[]> {
  const handle = await open(file).catch((cause) => {
    throw new CheckpointError(`${file}: cannot be opened, expected a safetensors file. Check the path.`, { cause });
  });
  try {
    const { size } = await handle.stat();
    const prefix = Buffer.alloc(LENGTH_BYTES);
    const { bytesRead } = await handle.read(prefix, 0, LENGTH_BYTES, 0);
    const length = bytesRead === LENGTH_BYTES ? prefix.readBigUInt64LE() : 0n;
    if (length < 2n || length > BigInt(Math.min(MAX_HEADER, size - LENGTH_BYTES))) {
      throw broken(file, `a header of ${length} bytes in a file of ${size}`, "one that fits");
    }
    const header = Buffer.alloc(Number(length));
    await handle.read(header, 0, header.length, LENGTH_BYTES);
    return parseHeader(file, header, size);
  } finally {
    await handle.close();
  }
}

/** Checks the bytes of a header against the size of its file. Exported for tests of hostile headers. */
export function parseHeader(file: string, header: Uint8Array, fileSize: number): TensorInfo[] {
  const start = LENGTH_BYTES + header.length;
  const tensors = parseEntries(file, header).map(([name, entry]) => toInfo(file, name, entry, start));
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let position = start;
  for (const { name, begin, end } of tensors) {
    if (begin !== position)
      throw broken(file, `${name} begins at byte ${begin}`, `byte ${position}, without gap or overlap`);
    position = end;
  }
  if (position !== fileSize)
    throw broken(file, `tensors that end at byte ${position}`, `the end of the file, ${fileSize}`);
  return tensors;
}

function toInfo(file: string, name: string, entry: unknown, start: number): TensorInfo {
  const result = entrySchema.safeParse(entry);
  if (!result.success) {
    const [{ path, message }] = result.error.issues;
    throw broken(file, `${name}.${path.join(".")}: ${message}`, "dtype, shape and data_offsets");
  }
  const { dtype, shape, data_offsets: offsets } = result.data;
  if (!isDType(dtype)) throw broken(file, `${name} of dtype ${dtype}`, "a dtype that layerwise knows");
  const bytes = byteSize(dtype) * elementCount(shape);
  const found = offsets[1] - offsets[0];
  if (found !== bytes) throw broken(file, `${name} of ${found} bytes`, `${bytes} for ${dtype}[${shape.join(", ")}]`);
  return { name, dtype, shape, file, begin: start + offsets[0], end: start + offsets[1] };
}

function parseEntries(file: string, header: Uint8Array): [string, unknown][] {
  const text = decodeUtf8(file, header);
  const entries = Object.entries(parseObject(file, text));
  // JSON.parse keeps the last of two equal names: only the text shows that there were two.
  if (countTopLevelNames(text) !== entries.length) throw broken(file, "a name twice", "each name once");
  return entries.filter(([name]) => name !== "__metadata__");
}

function decodeUtf8(file: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw broken(file, "a header that is not UTF-8", "JSON in UTF-8", cause);
  }
}

function parseObject(file: string, text: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  } catch (cause) {
    throw broken(file, "a header that is not JSON", "a JSON object", cause);
  }
  throw broken(file, "a header of another kind", "a JSON object");
}

/** Members of the outermost object of valid JSON, counted by their colons. */
function countTopLevelNames(text: string): number {
  let [depth, count] = [0, 0];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\]:]/g)) {
    if (token === "{" || token === "[") depth++;
    else if (token === "}" || token === "]") depth--;
    else if (token === ":" && depth === 1) count++;
  }
  return count;
}

function broken(file: string, found: string, expected: string, cause?: unknown): CheckpointError {
  return new CheckpointError(`${file}: ${found}, expected ${expected}. The file is broken; get it again.`, { cause });
}
