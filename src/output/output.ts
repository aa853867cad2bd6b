import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { readContained } from "../checkpoint/contained-file.ts";
import { type FileLayout, type Place, planFiles, type TensorSpec } from "../checkpoint/layout.ts";
import { readAt } from "../checkpoint/read-at.ts";
import { INDEX_FILE, printIndex } from "../checkpoint/shard-index.ts";
import { CheckpointError } from "../errors.ts";
import { type DType, viewBytes } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { CHECKSUMS_FILE, digestOf, digestSmallFiles, printChecksums } from "./checksums.ts";
import { OutputFolder, type OutputFolderOptions } from "./output-folder.ts";
import { syncFolder, writeAt, writing } from "./write-at.ts";

/** What {@link openOutput} is told. */
export interface OutputOptions extends OutputFolderOptions {
  /** All tensors that will be written. */
  readonly tensors: readonly TensorSpec[];
  /** Bytes of tensors in one file, 20 GB unless told. */
  readonly maxShardSize?: number;
}

/** A change of dtype while a tensor is copied, some elements at a time. */
export interface Conversion {
  readonly dtype: DType;
  /** The elements in `bytes`, as bytes in the new dtype. */
  convert(bytes: Uint8Array): Uint8Array;
}

/** Bytes that are copied at a time: whole elements of any dtype. */
const CHUNK = 8 * 2 ** 20;

/**
 * Starts a checkpoint, or goes on with one. It is written into a folder beside the output, `<folder>.partial`, and moved into
 * place at the end.
 *
 * @throws CheckpointError as {@link OutputFolder.open} does
 */
export async function openOutput(options: OutputOptions): Promise<Output> {
  const files = planFiles(options.tensors, options.maxShardSize);
  const folder = await OutputFolder.open(options);
  const output = new Output(folder, options.tensors, files);
  try {
    if (!(await folder.isMoved())) await output.createFiles();
  } catch (error) {
    throw await output.abandon(error);
  }
  return output;
}

/** A tensor that is to be written: its place, and how far it has got. */
interface Slot extends Place {
  readonly spec: TensorSpec;
  readonly file: string;
  state: "planned" | "started" | "written";
  /** Of its bytes, once it is written. */
  digest?: string;
}

/** A checkpoint while it is written: every tensor has its place from the start, so that they come in any order. */
export class Output {
  readonly #handles = new Map<string, FileHandle>();
  readonly #slots = new Map<string, Slot>();

  constructor(
    /** Where it lies until it is whole, and what is noted down of it. */
    readonly folder: OutputFolder,
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

  /** Creates the files at their full size, with their headers; of those that are there already, the tensors stay. */
  async createFiles(): Promise<void> {
    const names = new Set(this.files.map(({ name }) => name));
    await writing(this.folder.content, mkdir(this.folder.content, { recursive: true }));
    const present = await readdir(this.folder.content);
    for (const name of present.filter((name) => !names.has(name))) await rm(join(this.folder.content, name));
    for (const { name, header, size } of this.files) {
      const path = join(this.folder.content, name);
      const handle = await writing(path, open(path, present.includes(name) ? "r+" : "wx+"));
      this.#handles.set(name, handle);
      await writing(path, writeAt(handle, 0, header));
      await writing(path, handle.truncate(size));
    }
    for (const changed of [this.folder.content, this.folder.partial]) await syncFolder(changed);
  }

  /** Whether an earlier run has moved it into place: nothing is left to write. */
  isMoved(): Promise<boolean> {
    return this.folder.isMoved();
  }

  /** Whether a tensor is written. */
  has(name: string): boolean {
    return this.#slots.get(name)?.state === "written";
  }

  /**
   * Writes a tensor.
   *
   * @returns the digest of its bytes, for {@link trust}
   * @throws CheckpointError if it was not planned so, or is there already, or the system cannot write it
   */
  async write(name: string, tensor: Tensor): Promise<string> {
    const slot = this.#start(name, tensor);
    await writing(this.#pathOf(slot.file), writeAt(this.#handle(slot), slot.position, tensor.bytes));
    return markWritten(slot, digestOf(tensor.bytes));
  }

  /**
   * Copies a tensor from another checkpoint, some elements at a time.
   *
   * @param conversion - to another dtype; by default the tensor stays as it is
   * @throws CheckpointError as {@link write} does
   */
  async copyTensor(name: string, checkpoint: Checkpoint, conversion?: Conversion): Promise<void> {
    const { dtype, shape, begin, end } = checkpoint.info(name);
    const slot = this.#start(name, { dtype: conversion?.dtype ?? dtype, shape });
    const buffer = new Uint8Array(Math.min(CHUNK, end - begin));
    const hash = createHash("sha256");
    let { position } = slot;
    for (let offset = 0; offset < end - begin; offset += buffer.length) {
      const chunk = buffer.subarray(0, end - begin - offset);
      await checkpoint.readInto(chunk, name, offset);
      const converted = conversion?.convert(chunk) ?? chunk;
      hash.update(converted);
      await writing(this.#pathOf(slot.file), writeAt(this.#handle(slot), position, converted));
      position += converted.length;
    }
    markWritten(slot, hash.digest("hex"));
  }

  /** Reads a tensor back. @throws CheckpointError if it is not written yet */
  async read(name: string): Promise<Tensor> {
    const slot = this.#slots.get(name);
    if (slot?.state !== "written") throw new CheckpointError(`${name}: not written yet, expected a tensor that is.`);
    const { dtype, shape } = slot.spec;
    return new Tensor(dtype, shape, viewBytes(dtype, await this.#readBytes(slot)));
  }

  /**
   * Takes tensors that an earlier run wrote for written, if they are what they were then.
   *
   * @param digests - of each tensor by name, as {@link write} returned them
   * @returns whether they are; if not, none of them is taken
   */
  async trust(digests: Iterable<readonly [name: string, digest: string]>): Promise<boolean> {
    const intact = new Map<Slot, string>();
    for (const [name, digest] of digests) {
      const slot = this.#slots.get(name);
      if (!slot || digestOf(await this.#readBytes(slot)) !== digest) return false;
      intact.set(slot, digest);
    }
    for (const [slot, digest] of intact) markWritten(slot, digest);
    return true;
  }

  /** Returns once all that was written is on disk. */
  async sync(): Promise<void> {
    for (const [name, handle] of this.#handles) await writing(this.#pathOf(name), handle.sync());
  }

  /** Copies a small file into the folder under its own name. @throws CheckpointError for a link to another folder's file */
  async copyFile(path: string): Promise<void> {
    const [target, bytes] = [this.#pathBeside(basename(path)), await readCompanion(path)];
    await writing(target, writeFile(target, bytes, { flush: true }));
  }

  /** Writes a text file in UTF-8. */
  async writeText(name: string, text: string): Promise<void> {
    const target = this.#pathBeside(name);
    await writing(target, writeFile(target, text, { flush: true }));
  }

  /**
   * Checks that nothing is missing, and moves the folder into place.
   *
   * @param verify - looks at the folder before it is moved; where it throws, it is not
   */
  async finish(verify?: (folder: string) => Promise<void>): Promise<void> {
    if (await this.isMoved()) return this.folder.finish();
    const missing = [...this.#slots.values()].filter(({ state }) => state !== "written").map(({ spec }) => spec.name);
    if (missing.length > 0) {
      const others = missing.length > 1 ? ` and ${missing.length - 1} more` : "";
      throw new CheckpointError(
        `${this.folder.folder}: ${missing[0]}${others} not written, expected every planned tensor.`,
      );
    }
    if (this.files.length > 1) {
      const path = this.#pathOf(INDEX_FILE);
      await writing(path, writeFile(path, printIndex(this.files, this.tensors), { flush: true }));
    }
    await this.#writeChecksums();
    await this.sync();
    await this.#close();
    await verify?.(this.folder.content);
    await this.folder.finish();
  }

  /** Ends early: see {@link OutputFolder.abandon}. @returns what to throw */
  async abandon(failure: unknown): Promise<unknown> {
    await this.#close();
    return this.folder.abandon(failure);
  }

  async #writeChecksums(): Promise<void> {
    const tensors = new Map([...this.#slots].map(([name, { digest = "" }]) => [name, digest]));
    const text = printChecksums({ files: await digestSmallFiles(this.folder.content), tensors });
    await this.writeText(CHECKSUMS_FILE, text);
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

  async #readBytes(slot: Slot): Promise<Uint8Array> {
    const bytes = new Uint8Array(slot.length);
    await readAt(this.#handle(slot), slot.position, bytes);
    return bytes;
  }

  #pathOf(file: string): string {
    return join(this.folder.content, file);
  }

  /** Path of a file that is no part of the weights. */
  #pathBeside(name: string): string {
    if (name === basename(name) && name !== INDEX_FILE && !this.#handles.has(name)) return this.#pathOf(name);
    throw new CheckpointError(`${name}: cannot be written, expected the plain name of a file other than the weights'.`);
  }

  async #close(): Promise<void> {
    const handles = [...this.#handles.values()];
    this.#handles.clear();
    await Promise.all(handles.map((handle) => handle.close()));
  }
}

/** @returns the digest */
function markWritten(slot: Slot, digest: string): string {
  slot.state = "written";
  slot.digest = digest;
  return digest;
}

async function readCompanion(path: string): Promise<Buffer> {
  return readContained(path).catch((cause) => {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${path}: cannot be read, expected a file to copy. Get the file again.`, { cause });
  });
}

function describe({ dtype, shape }: Pick<TensorSpec, "dtype" | "shape">): string {
  return `${dtype}[${shape.join(", ")}]`;
}
