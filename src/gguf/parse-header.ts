import { elementCount } from "../tensor/tensor.ts";
import { ALIGNMENT, MAGIC, type TensorEntry, VERSION } from "./encode-header.ts";
import { HeaderReader } from "./header-reader.ts";
import type { Metadata, MetadataValue } from "./metadata.ts";
import { bytesOf, specOf, tensorTypeOfCode } from "./tensor-types.ts";

/** A tensor's place in its file. */
export interface PlacedTensor extends Omit<TensorEntry, "offset"> {
  /** Position of the first byte in the file. */
  readonly begin: number;
  /** Position after the last byte. */
  readonly end: number;
}

/** What a GGUF file says of itself. */
export interface GgufHeader {
  readonly metadata: Metadata;
  /** In the order of their bytes. */
  readonly tensors: readonly PlacedTensor[];
}

/** The fewest bytes that a key with its value, and a tensor's entry take. */
const [SMALLEST_ENTRY, SMALLEST_TENSOR] = [13, 32];

/** Versions differ in nothing that today's files have. */
const OLDEST_VERSION = 2;

const MOST_DIMENSIONS = 4;

/**
 * Checks a header against the size of its file: counts, lengths, types, alignment, and that each tensor has a place of its own.
 *
 * @param bytes - the file's first; if they end inside the header, a HeaderTooShort asks for more
 * @throws CheckpointError for anything that is not as the format says
 */
export function parseGgufHeader(file: string, bytes: Uint8Array, fileSize: number): GgufHeader {
  const reader = new HeaderReader(file, bytes, fileSize);
  const magic = String.fromCharCode(...Array.from(MAGIC, () => reader.number("uint8")));
  if (magic !== MAGIC) throw reader.broken("a file of another kind", "one that begins with GGUF");
  const version = reader.number("uint32");
  if (version < OLDEST_VERSION || version > VERSION) {
    throw reader.broken(`version ${version}`, `${OLDEST_VERSION} or ${VERSION}, little-endian`);
  }
  const tensorCount = reader.count("tensors", SMALLEST_TENSOR);
  const entryCount = reader.count("keys", SMALLEST_ENTRY);
  const metadata = readMetadata(reader, entryCount);
  const entries = readTensors(reader, tensorCount);
  return { metadata, tensors: placeTensors(reader, entries, alignmentOf(reader, metadata), fileSize) };
}

function readMetadata(reader: HeaderReader, count: number): Metadata {
  const metadata = new Map<string, MetadataValue>();
  for (let i = 0; i < count; i++) {
    const key = reader.name("key");
    if (metadata.has(key)) throw reader.broken(`${JSON.stringify(key)} is there twice`, "each key once");
    metadata.set(key, reader.value(key));
  }
  return metadata;
}

function readTensors(reader: HeaderReader, count: number): TensorEntry[] {
  const names = new Set<string>();
  const entries: TensorEntry[] = [];
  for (let i = 0; i < count; i++) {
    const entry = readTensor(reader);
    if (names.has(entry.name)) throw reader.broken(`${JSON.stringify(entry.name)} is there twice`, "each tensor once");
    names.add(entry.name);
    entries.push(entry);
  }
  return entries;
}

function readTensor(reader: HeaderReader): TensorEntry {
  const name = reader.name("tensor's name");
  const found = (what: string) => `tensor ${JSON.stringify(name)} has ${what}`;
  const dimensions = reader.number("uint32");
  if (dimensions < 1 || dimensions > MOST_DIMENSIONS) {
    throw reader.broken(found(`${dimensions} dimensions`), `1 to ${MOST_DIMENSIONS}`);
  }
  const shape = Array.from({ length: dimensions }, () => reader.number("uint64")).reverse();
  const code = reader.number("uint32");
  const type = tensorTypeOfCode(code);
  if (!type) throw reader.broken(found(`type ${code}`), "one that layerwise reads");
  const isWhole = shape.every((size) => size > 0) && Number.isSafeInteger(bytesOf(type, elementCount(shape)));
  if (!isWhole || (shape.at(-1) as number) % specOf(type).elements !== 0) {
    throw reader.broken(found(`shape [${shape.join(", ")}]`), `rows of whole blocks of ${specOf(type).elements}`);
  }
  return { name, type, shape, offset: reader.number("uint64") };
}

function alignmentOf(reader: HeaderReader, metadata: Metadata): number {
  const entry = metadata.get("general.alignment");
  if (!entry) return ALIGNMENT;
  const value = entry.type === "array" ? Number.NaN : Number(entry.value);
  const isPower = Number.isInteger(value) && value >= 8 && value <= 2 ** 20 && Number.isInteger(Math.log2(value));
  if (!isPower) throw reader.broken(`general.alignment is ${value}`, "a power of two, 8 or more");
  return value;
}

function placeTensors(
  reader: HeaderReader,
  entries: readonly TensorEntry[],
  alignment: number,
  fileSize: number,
): PlacedTensor[] {
  const start = Math.ceil(reader.position / alignment) * alignment;
  const placed = entries.map(({ offset, ...entry }) => {
    const begin = start + offset;
    return { ...entry, begin, end: begin + bytesOf(entry.type, elementCount(entry.shape)) };
  });
  placed.sort((a, b) => a.begin - b.begin);
  let position = start;
  for (const { name, begin, end } of placed) {
    const isFree = begin >= position && begin % alignment === 0 && end <= fileSize;
    if (!isFree) {
      throw reader.broken(
        `tensor ${JSON.stringify(name)} at bytes ${begin} to ${end}`,
        `a place of its own between ${position} and ${fileSize}, aligned to ${alignment}`,
      );
    }
    position = end;
  }
  return placed;
}
