import { byteSize, type DType } from "../tensor/dtype.ts";
import { elementCount } from "../tensor/tensor.ts";

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
export const DEFAULT_SHARD_SIZE = 20e9;

/**
 * Plans the files that hold `tensors`: one, or several that are each at most `maxShardSize` bytes large (a larger tensor
 * has a file of its own). Within a file, tensors lie as Python's safetensors puts them: large elements first, then by name.
 */
export function planFiles(tensors: readonly TensorSpec[], maxShardSize = DEFAULT_SHARD_SIZE): FileLayout[] {
  const shards: TensorSpec[][] = [];
  let room = 0;
  for (const tensor of tensors.toSorted(byName)) {
    const bytes = byteLength(tensor);
    if (shards.length === 0 || bytes > room) {
      shards.push([]);
      room = maxShardSize;
    }
    shards[shards.length - 1].push(tensor);
    room -= bytes;
  }
  if (shards.length <= 1) return [planFile("model.safetensors", shards[0] ?? [])];
  const number = (index: number) => String(index).padStart(5, "0");
  return shards.map((shard, index) =>
    planFile(`model-${number(index + 1)}-of-${number(shards.length)}.safetensors`, shard),
  );
}

/** model.safetensors.index.json for several files. */
export function indexOf(files: readonly FileLayout[], tensors: readonly TensorSpec[]): string {
  const weightMap = files.flatMap(({ name, places }) => [...places.keys()].map((tensor) => [tensor, name] as const));
  weightMap.sort(([a], [b]) => compare(a, b));
  const metadata = {
    total_parameters: tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0),
    total_size: tensors.reduce((sum, tensor) => sum + byteLength(tensor), 0),
  };
  return `${JSON.stringify({ metadata, weight_map: Object.fromEntries(weightMap) }, null, 2)}\n`;
}

function planFile(name: string, tensors: readonly TensorSpec[]): FileLayout {
  const ordered = tensors.toSorted((a, b) => byteSize(b.dtype) - byteSize(a.dtype) || byName(a, b));
  const header: Record<string, unknown> = { __metadata__: { format: "pt" } };
  const offsets = new Map<string, Place>();
  let offset = 0;
  for (const tensor of ordered) {
    const length = byteLength(tensor);
    header[tensor.name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [offset, offset + length] };
    offsets.set(tensor.name, { position: offset, length });
    offset += length;
  }
  const bytes = encodeHeader(header);
  const places = [...offsets].map(
    ([tensor, { position, length }]) => [tensor, { position: bytes.length + position, length }] as const,
  );
  return { name, header: bytes, places: new Map(places), size: bytes.length + offset };
}

/** Length and JSON, padded with spaces to a multiple of eight bytes. */
function encodeHeader(header: object): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const bytes = new Uint8Array(8 + padded).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true);
  bytes.set(json, 8);
  return bytes;
}

function byteLength({ dtype, shape }: TensorSpec): number {
  return byteSize(dtype) * elementCount(shape);
}

function byName(a: TensorSpec, b: TensorSpec): number {
  return compare(a.name, b.name);
}

/** By code unit, as Rust and Python compare names. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
