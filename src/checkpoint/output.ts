import { copyFile, type FileHandle, mkdir, open, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CheckpointError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { type FileLayout, indexOf, type Place, planFiles, type TensorSpec } from "./layout.ts";

export interface OutputOptions {
  /** Where the checkpoint appears once it is whole. */
  readonly folder: string;
  /** All tensors that will be written. */
  readonly tensors: readonly TensorSpec[];
  readonly maxShardSize?: number;
  /** Replaces a folder that exists, at the very end. */
  readonly overwrite?: boolean;
}

/** Bytes that are copied at a time. */
const CHUNK = 16 * 2 ** 20;

/**
 * Starts a checkpoint. It is written into a folder beside the output, `<folder>.partial`, and moved into place at the end.
 *
 * @throws CheckpointError for a folder that exists and is not empty, or a partial one, unless `overwrite`
 */
export async function openOutput(options: OutputOptions): Promise<Output> {
  const folder = resolve(options.folder);
  const partial = `${folder}.partial`;
  for (const path of [folder, partial]) {
    if (!options.overwrite && (await isOccupied(path))) {
      throw new CheckpointError(
        `${path}: exists already, expected a folder to create. Choose another output, or pass --overwrite.`,
      );
    }
  }
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  const output = new Output(folder, partial, options.tensors, planFiles(options.tensors, options.maxShardSize));
  await output.writeHeaders();
  return output;
}

/** A checkpoint while it is written: every tensor has its place from the start. */
export class Output {
  readonly #handles = new Map<string, FileHandle>();
  readonly #places = new Map<string, Place & { readonly file: string }>();
  readonly #pending: Map<string, TensorSpec>;

  constructor(
    private readonly folder: string,
    private readonly partial: string,
    private readonly tensors: readonly TensorSpec[],
    private readonly files: readonly FileLayout[],
  ) {
    this.#pending = new Map(tensors.map((tensor) => [tensor.name, tensor]));
    if (this.#pending.size < tensors.length)
      throw new CheckpointError(`${folder}: two tensors of one name, expected each name once.`);
    for (const { name: file, places } of files)
      for (const [name, place] of places) this.#places.set(name, { file, ...place });
  }

  /** Creates the files at their full size. */
  async writeHeaders(): Promise<void> {
    for (const { name, header, size } of this.files) {
      const handle = await open(join(this.partial, name), "w");
      this.#handles.set(name, handle);
      await handle.write(header, 0, header.length, 0);
      await handle.truncate(size);
    }
  }

  /** Writes a tensor. @throws CheckpointError if it was not planned so, or is there already */
  async write(name: string, tensor: Tensor): Promise<void> {
    const spec = this.#take(name);
    if (tensor.dtype !== spec.dtype || String(tensor.shape) !== String(spec.shape)) {
      const describe = ({ dtype, shape }: { dtype: string; shape: readonly number[] }) =>
        `${dtype}[${shape.join(", ")}]`;
      throw new CheckpointError(`${name}: ${describe(tensor)}, expected ${describe(spec)} as planned.`);
    }
    await this.#writeBytes(name, 0, tensor.bytes);
  }

  /** Copies a tensor from another checkpoint as it is. */
  async copyTensor(name: string, checkpoint: Checkpoint): Promise<void> {
    this.#take(name);
    const { length } = this.#place(name);
    for (let offset = 0; offset < length; offset += CHUNK) {
      await this.#writeBytes(name, offset, await checkpoint.readBytes(name, offset, Math.min(CHUNK, length - offset)));
    }
  }

  /** Copies a file into the folder under its own name. */
  async copyFile(path: string): Promise<void> {
    await copyFile(path, join(this.partial, basename(path)));
  }

  async writeText(name: string, text: string): Promise<void> {
    await writeFile(join(this.partial, name), text, { flush: true });
  }

  /** Checks that nothing is missing, and moves the folder into place. */
  async finish(): Promise<void> {
    if (this.#pending.size > 0) {
      const [first] = this.#pending.keys();
      throw new CheckpointError(
        `${this.folder}: ${this.#pending.size} tensors were not written, ${first} first, expected all.`,
      );
    }
    if (this.files.length > 1) await this.writeText("model.safetensors.index.json", indexOf(this.files, this.tensors));
    for (const handle of this.#handles.values()) await handle.sync();
    await this.#close();
    await rm(this.folder, { recursive: true, force: true });
    await rename(this.partial, this.folder);
    await syncFolder(dirname(this.folder));
  }

  /** Leaves nothing behind. */
  async abort(): Promise<void> {
    await this.#close();
    await rm(this.partial, { recursive: true, force: true });
  }

  async #writeBytes(name: string, offset: number, bytes: Uint8Array): Promise<void> {
    const { file, position } = this.#place(name);
    const handle = this.#handles.get(file) as FileHandle;
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await handle.write(
        bytes,
        done,
        Math.min(bytes.length - done, 2 ** 30),
        position + offset + done,
      );
      done += bytesWritten;
    }
  }

  #take(name: string): TensorSpec {
    const spec = this.#pending.get(name);
    if (!spec) throw new CheckpointError(`${name}: not planned or written already, expected each planned tensor once.`);
    this.#pending.delete(name);
    return spec;
  }

  #place(name: string): Place & { readonly file: string } {
    const place = this.#places.get(name);
    if (!place) throw new CheckpointError(`${name}: has no place in the output, expected a planned tensor.`);
    return place;
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#handles.values()].map((handle) => handle.close()));
    this.#handles.clear();
  }
}

async function isOccupied(path: string): Promise<boolean> {
  const exists = await stat(path).then(
    () => true,
    () => false,
  );
  return exists && (await readdir(path).catch(() => ["a file"])).length > 0;
}

/** Makes a rename last: a folder's entries are written when the folder itself is. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(path).catch(() => undefined);
  await handle?.sync().catch(() => undefined);
  await handle?.close();
}
