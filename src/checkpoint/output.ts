import { type FileHandle, open, rm, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { CheckpointError } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { readContained } from "./contained-file.ts";
import { type FileLayout, type Place, planFiles, type TensorSpec } from "./layout.ts";
import { createPartial, moveIntoPlace, type OutputFolder } from "./output-folder.ts";
import { INDEX_FILE, printIndex } from "./shard-index.ts";

/** What {@link openOutput} is told. */
export interface OutputOptions {
  /** Where the checkpoint appears once it is whole. */
  readonly folder: string;
  /** All tensors that will be written. */
  readonly tensors: readonly TensorSpec[];
  /** Bytes of tensors in one file, 20 GB unless told. */
  readonly maxShardSize?: number;
  /** Replaces a folder that exists, at the very end. */
  readonly overwrite?: boolean;
}

/** Bytes that are copied at a time, and bytes that one system call is given. */
const CHUNK = 8 * 2 ** 20;
const LARGEST_WRITE = 2 ** 30;

/**
 * Starts a checkpoint. It is written into a folder beside the output, `<folder>.partial`, and moved into place at the end.
 *
 * @throws CheckpointError for a folder that exists and is not empty, or a partial one, unless `overwrite`
 */
export async function openOutput(options: OutputOptions): Promise<Output> {
  const files = planFiles(options.tensors, options.maxShardSize);
  const folder = resolve(options.folder);
  const place = { folder, partial: `${folder}.partial`, overwrite: options.overwrite ?? false };
  await createPartial(place);
  const output = new Output(place, options.tensors, files);
  try {
    await output.createFiles();
  } catch (error) {
    await output.abort();
    throw error;
  }
  return output;
}

/** A tensor that is to be written: its place, and how far it has got. */
interface Slot extends Place {
  readonly spec: TensorSpec;
  readonly file: string;
  state: "planned" | "started" | "written";
}

/** A checkpoint while it is written: every tensor has its place from the start, so that they come in any order. */
export class Output {
  readonly #handles = new Map<string, FileHandle>();
  readonly #slots = new Map<string, Slot>();

  constructor(
    private readonly place: OutputFolder,
    private readonly tensors: readonly TensorSpec[],
    private readonly files: readonly FileLayout[],
  ) {
    const specs = new Map(tensors.map((spec) => [spec.name, spec]));
    for (const { name: file, places } of files) {
      for (const [name, place] of places) {
        this.#slots.set(name, { ...place, file, spec: specs.get(name) as TensorSpec, state: "planned" });
      }
    }
  }

  /** Creates the files at their full size, with their headers. */
  async createFiles(): Promise<void> {
    for (const { name, header, size } of this.files) {
      const handle = await open(join(this.place.partial, name), "wx");
      this.#handles.set(name, handle);
      await writeAt(handle, 0, header);
      await handle.truncate(size);
    }
  }

  /** Writes a tensor. @throws CheckpointError if it was not planned so, or is there already */
  async write(name: string, tensor: Tensor): Promise<void> {
    const slot = this.#start(name, tensor);
    await writeAt(this.#handle(slot), slot.position, tensor.bytes);
    slot.state = "written";
  }

  /** Copies a tensor from another checkpoint as it is. @throws CheckpointError as {@link write} does */
  async copyTensor(name: string, checkpoint: Checkpoint): Promise<void> {
    const slot = this.#start(name, checkpoint.info(name));
    const buffer = new Uint8Array(Math.min(CHUNK, slot.length));
    for (let offset = 0; offset < slot.length; offset += buffer.length) {
      const chunk = buffer.subarray(0, slot.length - offset);
      await checkpoint.readInto(chunk, name, offset);
      await writeAt(this.#handle(slot), slot.position + offset, chunk);
    }
    slot.state = "written";
  }

  /** Copies a small file into the folder under its own name. @throws CheckpointError for a link to another folder's file */
  async copyFile(path: string): Promise<void> {
    await writeFile(this.#pathOf(basename(path)), await readCompanion(path), { flush: true });
  }

  /** Writes a text file in UTF-8. */
  async writeText(name: string, text: string): Promise<void> {
    await writeFile(this.#pathOf(name), text, { flush: true });
  }

  /** Checks that nothing is missing, and moves the folder into place. */
  async finish(): Promise<void> {
    const missing = [...this.#slots.values()].filter(({ state }) => state !== "written").map(({ spec }) => spec.name);
    if (missing.length > 0) {
      const others = missing.length > 1 ? ` and ${missing.length - 1} more` : "";
      throw new CheckpointError(
        `${this.place.folder}: ${missing[0]}${others} not written, expected every planned tensor.`,
      );
    }
    if (this.files.length > 1) {
      await writeFile(join(this.place.partial, INDEX_FILE), printIndex(this.files, this.tensors), { flush: true });
    }
    for (const handle of this.#handles.values()) await handle.sync();
    await this.#close();
    await moveIntoPlace(this.place);
  }

  /** Leaves nothing behind. */
  async abort(): Promise<void> {
    await this.#close();
    await rm(this.place.partial, { recursive: true, force: true });
  }

  #start(name: string, tensor: Pick<TensorSpec, "dtype" | "shape">): Slot {
    const slot = this.#slots.get(name);
    if (!slot) throw new CheckpointError(`${name}: not planned, expected one of the tensors given to openOutput.`);
    if (slot.state !== "planned") throw new CheckpointError(`${name}: written twice, expected each tensor once.`);
    const [found, expected] = [describe(tensor), describe(slot.spec)];
    if (found !== expected) throw new CheckpointError(`${name}: ${found}, expected ${expected} as planned.`);
    slot.state = "started";
    return slot;
  }

  #handle({ spec, file }: Slot): FileHandle {
    const handle = this.#handles.get(file);
    if (!handle) throw new CheckpointError(`${spec.name}: written to a closed output, expected one before its end.`);
    return handle;
  }

  /** Path of a file that is no part of the weights. */
  #pathOf(name: string): string {
    if (name === basename(name) && name !== INDEX_FILE && !this.#handles.has(name))
      return join(this.place.partial, name);
    throw new CheckpointError(`${name}: cannot be written, expected the plain name of a file other than the weights'.`);
  }

  async #close(): Promise<void> {
    const handles = [...this.#handles.values()];
    this.#handles.clear();
    await Promise.all(handles.map((handle) => handle.close()));
  }
}

async function readCompanion(path: string): Promise<Buffer> {
  return readContained(path).catch((cause) => {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${path}: cannot be read, expected a file to copy. Get the file again.`, { cause });
  });
}

async function writeAt(handle: FileHandle, position: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const length = Math.min(bytes.length - done, LARGEST_WRITE);
    done += (await handle.write(bytes, done, length, position + done)).bytesWritten;
  }
}

function describe({ dtype, shape }: Pick<TensorSpec, "dtype" | "shape">): string {
  return `${dtype}[${shape.join(", ")}]`;
}
