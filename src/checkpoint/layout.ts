import { CheckpointError } from "../errors.ts";
import { byteSize, type DType } from "../tensor/dtype.ts";
import { splitByBytes } from "../tensor/split-by-bytes.ts";
import { elementCount } from "../tensor/tensor.ts";
import { METADATA } from "./safetensors.ts";

/** What is known of a tensor before its values are. */
export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/** A tensor's place in a file: where its bytes begin, and how many there are. */
export interface Place {
  readonly position: number;
  readonly length: number;
}

/** One safetensors file before it is filled: its first bytes, and where each tensor goes. */
export interface FileLayout {
  readonly name: string;
  readonly header: Uint8Array;
  readonly places: ReadonlyMap<string, Place>;
  readonly size: number;
}

/** Bytes of a shard where nothing else is asked for, as in Hugging Face's libraries. */
const DEFAULT_SHARD_SIZE = 20e9;

/** Where Python's safetensors puts the tensors of each dtype: those with large elements first. */
const RANK = {
  I64: 0,
  F64: 1,
  F32: 2,
  I32: 3,
  BF16: 4,
  F16: 5,
  I16: 6,
  F8_E4M3: 7,
  I8: 8,
  U8: 9,
  BOOL: 10,
} satisfies Record<DType, number>;

/**
 * Plans the files that hold `tensors`: one, or several with at most `maxShardSize` bytes of tensors each (a larger tensor has
 * a file of its own). Files are filled in the order of names; within a file, bytes lie as Python's safetensors puts them.
 *
 * @throws CheckpointError for a name that is there twice or that the format reserves
 */
export function planFiles(tensors: readonly TensorSpec[], maxShardSize = DEFAULT_SHARD_SIZE): FileLayout[] {
  if (!(maxShardSize > 0)) {
    throw new CheckpointError(`maxShardSize: ${maxShardSize}, expected a number of bytes. Leave it out for 20 GB.`);
  }
  const sorted = tensors.toSorted((a, b) => compareNames(a.name, b.name));
  checkNames(sorted);
  const shards = splitByBytes(sorted, maxShardSize, byteLength);
  if (shards.length === 1) return [planFile("model.safetensors", shards[0])];
  const number = (index: number) => String(index).padStart(5, "0");
  return shards.map((shard, index) =>
    planFile(`model-${number(index + 1)}-of-${number(shards.length)}.safetensors`, shard),
  );
}

/** Order of the bytes in UTF-8, which is how Rust and Python compare names. */
export function compareNames(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

/** Bytes that a tensor takes in a file. */
export function byteLength({ dtype, shape }: TensorSpec): number {
  return byteSize(dtype) * elementCount(shape);
}

function checkNames(sorted: readonly TensorSpec[]): void {
  const bad = sorted.find(({ name }, index) => name === METADATA || name === sorted[index + 1]?.name);
  if (!bad) return;
  const found = bad.name === METADATA ? "a tensor named so" : "two tensors named so";
  throw new CheckpointError(`${bad.name}: ${found}, expected a name of its own for each tensor. Rename it.`);
}

/** @param tensors - in the order of their names */
function planFile(name: string, tensors: readonly TensorSpec[]): FileLayout {
  const members = [`"${METADATA}":{"format":"pt"}`];
  const offsets: [tensor: string, offset: number, length: number][] = [];
  let end = 0;
  for (const tensor of tensors.toSorted((a, b) => RANK[a.dtype] - RANK[b.dtype])) {
    const { name, dtype, shape } = tensor;
    const [begin, length] = [end, byteLength(tensor)];
    end += length;
    // An object would move names like "10" to the front and lose "__proto__".
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`);
    offsets.push([name, begin, length]);
  }
  const header = encodeHeader(`{${members.join(",")}}`);
  const places = new Map(
    offsets.map(([tensor, offset, length]) => [tensor, { position: header.length + offset, length }]),
  );
  return { name, header, places, size: header.length + end };
}

/** Length and JSON, padded with spaces to a multiple of eight bytes. */
function encodeHeader(json: string): Uint8Array {
  const text = new TextEncoder().encode(json);
  const padded = Math.ceil(text.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(text, 8);
  return bytes;
}
