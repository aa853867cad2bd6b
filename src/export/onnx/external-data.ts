import { open } from "node:fs/promises";
import { join } from "node:path";
import { digestOf } from "../../output/checksums.ts";
import { writeAt, writing } from "../../output/write-at.ts";
import type { ExternalPlace } from "../../runtime/onnx-writer.ts";
import { byteSize } from "../../tensor/dtype.ts";
import { elementCount, type Tensor } from "../../tensor/tensor.ts";
import type { InitializerSpec, StoredWeight } from "./stored-weight.ts";

/** Bytes of one file: what browsers can hold in one array. */
const LARGEST_CHUNK = 2 ** 31 - 2 ** 20;
/** Every initializer begins at a multiple of it. */
const ALIGNMENT = 64;

/** The files beside a model that hold its weights: `model_q4.onnx_data`, `model_q4.onnx_data_1`, … */
export class ExternalData {
  readonly #places = new Map<string, ExternalPlace>();
  #sizes: number[] = [];

  /** @param chunkSize - bytes of one file; an initializer that is larger has a file of its own */
  constructor(
    private readonly model: string,
    private readonly chunkSize = LARGEST_CHUNK,
  ) {}

  /** Number of files. */
  get chunks(): number {
    return this.#sizes.length;
  }

  /** The place of an initializer, behind those that have one. */
  place({ name, dtype, shape }: InitializerSpec): ExternalPlace {
    const length = elementCount(shape) * byteSize(dtype);
    const begin = Math.ceil((this.#sizes.at(-1) ?? 0) / ALIGNMENT) * ALIGNMENT;
    const isFull = this.#sizes.length === 0 || (begin > 0 && begin + length > this.chunkSize);
    if (isFull) this.#sizes.push(0);
    const [chunk, offset] = [this.#sizes.length - 1, isFull ? 0 : begin];
    this.#sizes[chunk] = offset + length;
    const place = { file: this.#fileOf(chunk), offset, length };
    this.#places.set(name, place);
    return place;
  }

  /**
   * Writes the values of weights, all of whose initializers have places; one weight at a time is in memory.
   *
   * @returns digests of the initializers' bytes, by their names below that of the model
   */
  async write(folder: string, weights: Iterable<StoredWeight>, signal?: AbortSignal): Promise<Map<string, string>> {
    const digests = new Map<string, string>();
    const files = await Promise.all(
      this.#sizes.map(async (_, chunk) => {
        const path = join(folder, this.#fileOf(chunk));
        return [this.#fileOf(chunk), { path, handle: await writing(path, open(path, "wx")) }] as const;
      }),
    );
    const handles = new Map(files);
    try {
      for (const weight of weights) {
        signal?.throwIfAborted();
        const tensors = await weight.load();
        for (const [index, spec] of weight.initializers.entries()) {
          const { file, offset } = this.#places.get(spec.name) as ExternalPlace;
          const { path, handle } = handles.get(file) as (typeof files)[number][1];
          const { bytes } = tensors[index] as Tensor;
          digests.set(`${this.model}/${spec.name}`, digestOf(bytes));
          await writing(path, writeAt(handle, offset, bytes));
        }
      }
    } finally {
      for (const { handle } of handles.values()) await handle.close();
    }
    return digests;
  }

  #fileOf(chunk: number): string {
    return `${this.model}_data${chunk === 0 ? "" : `_${chunk}`}`;
  }
}
