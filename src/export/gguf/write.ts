import { open } from "node:fs/promises";
import { join } from "node:path";
import { type GgufFile, planGguf } from "../../gguf/layout.ts";
import type { Metadata } from "../../gguf/metadata.ts";
import { writeAt, writing } from "../../output/write-at.ts";
import type { ExportSettings } from "../export-format.ts";
import type { ExportSource } from "../export-source.ts";
import { type EncodedTensor, encodeTensor, type Heads } from "./encode-tensor.ts";
import type { PlannedTensor } from "./plan.ts";
import type { StackedTensor } from "./stack-experts.ts";

/** A tensor that follows from the configuration. */
export interface ComputedTensor {
  readonly name: string;
  readonly type: "F32";
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A tensor of a file, and what it is made of. */
type ModelTensor = PlannedTensor | StackedTensor | ComputedTensor;

/** What one model's files are made of. */
export interface ModelFiles {
  readonly name: string;
  readonly metadata: Metadata;
  readonly tensors: readonly ModelTensor[];
  readonly heads: Heads | undefined;
  /** What llama.cpp does otherwise. */
  readonly warnings: readonly string[];
}

/** Writes the files of a model, one parameter at a time, and warns of what float16 scales lost. */
export async function writeFiles(
  source: ExportSource,
  folder: string,
  { name, metadata, tensors, heads }: ModelFiles,
  { maxShardSize, signal, onProgress }: ExportSettings,
): Promise<void> {
  const losses = new Losses();
  for (const file of planGguf(name, metadata, tensors, maxShardSize)) {
    await writeFile(join(folder, file.name), file, async function* (tensor) {
      if ("values" in tensor) yield new Uint8Array(tensor.values.buffer);
      else
        for (const part of "experts" in tensor ? tensor.experts : [tensor]) {
          signal?.throwIfAborted();
          const encoded = await encodeTensor(source, part, heads);
          losses.add(encoded);
          yield encoded.bytes;
        }
    });
  }
  for (const message of losses.messages(name)) onProgress?.({ type: "warning", message });
}

async function writeFile(
  path: string,
  { header, places, size }: GgufFile<ModelTensor>,
  encode: (tensor: ModelTensor) => AsyncIterable<Uint8Array>,
): Promise<void> {
  const handle = await writing(path, open(path, "wx"));
  try {
    await writing(path, writeAt(handle, 0, header));
    for (const { tensor, position } of places) {
      let next = position;
      for await (const bytes of encode(tensor)) {
        await writing(path, writeAt(handle, next, bytes));
        next += bytes.length;
      }
    }
    await writing(path, handle.truncate(size));
    await writing(path, handle.sync());
  } finally {
    await handle.close();
  }
}

/** Sums up what rounding to float16 did to calibrated scales and minima. */
class Losses {
  #scales = { rounded: 0, largest: 0 };
  #minima = { rounded: 0, largest: 0 };

  add({ scales, minima }: EncodedTensor): void {
    for (const [sum, part] of [
      [this.#scales, scales],
      [this.#minima, minima],
    ] as const) {
      sum.rounded += part?.rounded ?? 0;
      sum.largest = Math.max(sum.largest, part?.largest ?? 0);
    }
  }

  /** What deserves a look. */
  *messages(name: string): Generator<string> {
    const { rounded, largest } = this.#scales;
    if (rounded > 0) {
      const most = `${(100 * largest).toPrecision(2)} %`;
      yield `${name}: ${rounded} calibrated scales are no float16 numbers and were rounded, by ${most} at the most. Save the checkpoint with precision BF16 or F16.`;
    }
    if (this.#minima.rounded > 0) {
      const most = this.#minima.largest.toPrecision(2);
      yield `${name}: ${this.#minima.rounded} offsets of blocks were rounded to float16, by ${most} of a step at the most. Symmetric weights (Q4_0) have none.`;
    }
  }
}
