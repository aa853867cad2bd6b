import type { Metadata, MetadataValue, Scalar } from "./metadata.ts";
import { ARRAY_CODE, codeOf, type ScalarType, storageOf } from "./scalars.ts";
import { specOf, type TensorType } from "./tensor-types.ts";

/** "GGUF", and the version that all of today's readers take. */
export const [MAGIC, VERSION] = ["GGUF", 3];

/** Tensors begin at multiples of this, where a file says nothing else. */
export const ALIGNMENT = 32;

/** A tensor as a header tells of it: `offset` counts from the first tensor's byte. */
export interface TensorEntry {
  readonly name: string;
  readonly type: TensorType;
  /** Row-major. */
  readonly shape: readonly number[];
  readonly offset: number;
}

/** The header of a file, filled up to where tensors may begin. */
export function encodeHeader(metadata: Metadata, tensors: readonly TensorEntry[]): Uint8Array {
  const writer = new HeaderWriter();
  writer.bytes(new TextEncoder().encode(MAGIC));
  writer.scalar("uint32", VERSION);
  writer.scalar("uint64", tensors.length);
  writer.scalar("uint64", metadata.size);
  for (const [key, value] of metadata) {
    writer.scalar("string", key);
    writer.value(value);
  }
  for (const { name, type, shape, offset } of tensors) {
    writer.scalar("string", name);
    writer.scalar("uint32", shape.length);
    for (const size of shape.toReversed()) writer.scalar("uint64", size); // columns first
    writer.scalar("uint32", specOf(type).code);
    writer.scalar("uint64", offset);
  }
  return writer.finish();
}

/** Collects little-endian values in memory that grows. */
class HeaderWriter {
  #buffer = new Uint8Array(1 << 16);
  #view = new DataView(this.#buffer.buffer);
  #length = 0;

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  value(value: MetadataValue): void {
    if (value.type !== "array") {
      this.scalar("uint32", codeOf(value.type));
      this.scalar(value.type, value.value);
      return;
    }
    this.scalar("uint32", ARRAY_CODE);
    this.scalar("uint32", codeOf(value.of));
    this.scalar("uint64", value.values.length);
    for (const element of value.values) this.scalar(value.of, element);
  }

  scalar(type: ScalarType, value: Scalar): void {
    if (type === "string") {
      const bytes = new TextEncoder().encode(String(value));
      this.scalar("uint64", bytes.length);
      this.bytes(bytes);
      return;
    }
    const { bytes, set } = storageOf(type);
    this.#reserve(bytes);
    set(this.#view, this.#length, Number(value));
    this.#length += bytes;
  }

  /** All that was written, with zeros up to where a tensor may begin. */
  finish(): Uint8Array {
    this.bytes(new Uint8Array((ALIGNMENT - (this.#length % ALIGNMENT)) % ALIGNMENT));
    return this.#buffer.slice(0, this.#length);
  }

  #reserve(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#buffer.length, this.#length + bytes));
    larger.set(this.#buffer);
    this.#buffer = larger;
    this.#view = new DataView(larger.buffer);
  }
}
