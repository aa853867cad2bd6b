import { CheckpointError } from "../errors.ts";
import { splitByBytes } from "../tensor/split-by-bytes.ts";
import { elementCount } from "../tensor/tensor.ts";
import { ALIGNMENT, encodeHeader } from "./encode-header.ts";
import type { Metadata } from "./metadata.ts";
import { bytesOf, type TensorType } from "./tensor-types.ts";

/** What is known of a tensor before its values are. The shape is row-major, as in safetensors. */
export interface GgufTensor {
  readonly name: string;
  readonly type: TensorType;
  readonly shape: readonly number[];
}

/** One file before it is filled. */
export interface GgufFile<Tensor extends GgufTensor = GgufTensor> {
  readonly name: string;
  /** All that comes before the tensors. */
  readonly header: Uint8Array;
  /** Each tensor with the position of its first byte in the file. */
  readonly places: readonly { readonly tensor: Tensor; readonly position: number }[];
  readonly size: number;
}

/** Bytes that a tensor takes. */
export function tensorBytes({ type, shape }: GgufTensor): number {
  return bytesOf(type, elementCount(shape));
}

/** The next multiple of the alignment. */
export function align(position: number, alignment = ALIGNMENT): number {
  return Math.ceil(position / alignment) * alignment;
}

/**
 * Plans the files of a model: `name.gguf`, or, past `maxShardSize` bytes of tensors, `name-00001-of-00002.gguf` and so on. The
 * first of several has all metadata, each tells its number.
 *
 * @throws CheckpointError for a name that two tensors have
 */
export function planGguf<Tensor extends GgufTensor>(
  name: string,
  metadata: Metadata,
  tensors: readonly Tensor[],
  maxShardSize = Number.POSITIVE_INFINITY,
): GgufFile<Tensor>[] {
  const names = new Set(tensors.map((tensor) => tensor.name));
  if (names.size < tensors.length) throw new CheckpointError(`${name}: two tensors of one name, expected one of each.`);
  const shards = splitByBytes(tensors, maxShardSize, tensorBytes);
  if (shards.length === 1) return [planFile(`${name}.gguf`, metadata, tensors)];
  const number = (index: number) => String(index).padStart(5, "0");
  return shards.map((shard, index) => {
    const split: Metadata = new Map([
      ["split.no", { type: "uint16", value: index }],
      ["split.count", { type: "uint16", value: shards.length }],
      ["split.tensors.count", { type: "int32", value: tensors.length }],
    ]);
    const own = index === 0 ? new Map([...metadata, ...split]) : split;
    return planFile(`${name}-${number(index + 1)}-of-${number(shards.length)}.gguf`, own, shard);
  });
}

function planFile<Tensor extends GgufTensor>(name: string, metadata: Metadata, tensors: readonly Tensor[]) {
  const offsets: number[] = [];
  let end = 0;
  for (const tensor of tensors) {
    offsets.push(align(end));
    end = align(end) + tensorBytes(tensor);
  }
  const header = encodeHeader(
    metadata,
    tensors.map((tensor, index) => ({ ...tensor, offset: offsets[index] })),
  );
  const places = tensors.map((tensor, index) => ({ tensor, position: header.length + offsets[index] }));
  return { name, header, places, size: header.length + align(end) };
}
