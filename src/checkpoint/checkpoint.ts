import { type FileHandle, open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { reorderRows } from "../gguf/row-order.ts";
import { Buffers } from "../tensor/buffers.ts";
import { isFloatDType, narrowEnd, toFloat32, widenInPlace } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { isGgufPath, type UnpackedGguf, unpackGguf } from "./gguf-file.ts";
import { readJsonFile } from "./json-file.ts";
import { readAt } from "./read-at.ts";
import { readHeader, type TensorEncoding, type TensorInfo } from "./safetensors.ts";
import { INDEX_FILE, readShards } from "./shard-index.ts";

const SINGLE_FILE = "model.safetensors";

const configSchema = z.record(z.string(), z.unknown(), "not an object, expected the model's settings");

/** A Hugging Face checkpoint on disk: its configuration and where its tensors lie. A tensor is read when asked for. */
export class Checkpoint {
  readonly #handles = new Map<string, Promise<FileHandle>>();

  constructor(
    readonly folder: string,
    /** What config.json says. */
    readonly config: Readonly<Record<string, unknown>>,
    /** Every tensor by name. */
    readonly tensors: ReadonlyMap<string, TensorInfo>,
    /** Called when it is closed. */
    private readonly onClose?: () => Promise<void>,
  ) {}

  /** What is known of a tensor. @throws CheckpointError for a name that is not in the checkpoint */
  info(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (info) return info;
    throw new CheckpointError(
      `${this.folder}: no tensor ${name}, expected one of its ${this.tensors.size}. Check the name, or get the checkpoint again.`,
    );
  }

  /** Reads a whole tensor, into memory that `buffers` gives. @throws CheckpointError for one that is not there or too large, or a file that got shorter */
  async read(name: string, buffers = new Buffers()): Promise<Tensor> {
    const info = this.info(name);
    if (info.encoding) return decodeWhole(info, await this.#readBytes(info));
    const tensor = takeTensor(info, buffers);
    await this.readInto(tensor.bytes, name);
    return tensor;
  }

  /** Reads a tensor of floats and converts it to F32, in the memory of the result alone. @throws CheckpointError as {@link read} does */
  async readFloat32(name: string, buffers = new Buffers()): Promise<Tensor<"F32">> {
    const info = this.info(name);
    if (info.encoding || !isFloatDType(info.dtype)) return toFloat32(await this.read(name)); // which refuses what is no float
    const tensor = takeTensor({ ...info, dtype: "F32" }, buffers) as Tensor<"F32">;
    await this.readInto(narrowEnd(tensor, info.dtype), name);
    widenInPlace(tensor, info.dtype);
    return tensor;
  }

  /** Reads rows of a matrix: [rows, columns]. @throws CheckpointError as {@link read} does, and for a row that is not there */
  async readRows(name: string, rows: readonly number[]): Promise<Tensor> {
    const { dtype, shape, begin, end, encoding } = this.info(name);
    const missing = rows.find((row) => !(row >= 0 && row < shape[0]));
    if (missing !== undefined) {
      throw new CheckpointError(`${name}: row ${missing}, expected one of its ${shape[0]}. Check the tokens.`);
    }
    const own = [rows.length, ...shape.slice(1)];
    if (encoding) {
      const bytes = new Uint8Array((rows.length * (end - begin)) / shape[0]);
      const { places } = encoding;
      await this.#readRowsInto(bytes, name, places ? rows.map((row) => places[row]) : rows);
      return encoding.decode(bytes, own);
    }
    const table = new Buffers().take(dtype, own);
    await this.#readRowsInto(table.bytes, name, rows);
    return table;
  }

  /** Fills `target` with the bytes of rows, numbered as the file has them. */
  async #readRowsInto(target: Uint8Array, name: string, rows: readonly number[]): Promise<void> {
    const size = target.length / rows.length;
    for (const { start, end } of neighbours(rows))
      await this.readInto(target.subarray(start * size, end * size), name, rows[start] * size);
  }

  async #readBytes({ name, begin, end }: TensorInfo): Promise<Uint8Array> {
    const bytes = new Uint8Array(end - begin);
    await this.readInto(bytes, name);
    return bytes;
  }

  /** Fills `target` with a tensor's bytes, from its byte `offset`. */
  async readInto(target: Uint8Array, name: string, offset = 0): Promise<void> {
    const { file, begin } = this.info(name);
    const bytesRead = await readAt(await this.#open(file), begin + offset, target);
    if (bytesRead < target.length) {
      throw new CheckpointError(`${file}: ends inside ${name}, expected all of its bytes. Get the file again.`);
    }
  }

  /** Names of the files in the folder, the weights among them. */
  async listFiles(): Promise<string[]> {
    const entries = await readdir(this.folder, { withFileTypes: true });
    return entries.filter((entry) => !entry.isDirectory()).map(({ name }) => name);
  }

  /** Path of a file in the folder. */
  pathOf(file: string): string {
    return join(this.folder, file);
  }

  /** Closes all files. */
  async close(): Promise<void> {
    const handles = await Promise.all(this.#handles.values());
    this.#handles.clear();
    await Promise.all(handles.map((handle) => handle.close()));
    await this.onClose?.();
  }

  #open(file: string): Promise<FileHandle> {
    const handle = this.#handles.get(file) ?? this.#openFirst(file);
    this.#handles.set(file, handle);
    return handle;
  }

  #openFirst(file: string): Promise<FileHandle> {
    return open(file).catch((cause) => {
      this.#handles.delete(file);
      throw new CheckpointError(`${file}: cannot be opened any more, expected the weights. Get the file again.`, {
        cause,
      });
    });
  }
}

/**
 * Opens a checkpoint: a folder with config.json, and safetensors in one file or several with an index, or a GGUF file (of
 * several, the first).
 *
 * @throws CheckpointError for files that are missing or broken, and for weights in pickle files, which are never run
 * @example
 * const checkpoint = await openCheckpoint("SmolLM2-135M");
 * const weight = await checkpoint.read("model.norm.weight");
 * await checkpoint.close();
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  if (isGgufPath(folder)) return checkpointOf(await unpackGguf(folder));
  const files = await readdir(folder).catch((cause) => {
    throw new CheckpointError(
      `${folder}: cannot be read, expected a checkpoint's folder. Check the path of the model.`,
      {
        cause,
      },
    );
  });
  const config = await readJsonFile(join(folder, "config.json"), configSchema);
  return new Checkpoint(folder, config, await readTensors(folder, files));
}

/** An unpacked GGUF file as a checkpoint, which removes what was unpacked when it is closed. */
export function checkpointOf({ folder, config, tensors }: UnpackedGguf): Checkpoint {
  return new Checkpoint(folder, config, tensors, () => rm(folder, { recursive: true, force: true }));
}

/** A tensor as the model has it, from all of its bytes. */
function decodeWhole({ shape, encoding }: TensorInfo, bytes: Uint8Array): Tensor<"F32"> {
  const { decode, places } = encoding as TensorEncoding;
  const values = decode(bytes, shape);
  return places ? new Tensor("F32", shape, reorderRows(values.data, values.data.length / shape[0], places)) : values;
}

/** Runs of numbers that follow one another, by their places in the list. */
function* neighbours(rows: readonly number[]): Generator<{ start: number; end: number }> {
  for (let start = 0, end = 1; start < rows.length; start = end, end++) {
    while (end < rows.length && rows[end] === rows[end - 1] + 1) end++;
    yield { start, end };
  }
}

function takeTensor({ name, dtype, shape, begin, end }: TensorInfo, buffers: Buffers): Tensor {
  try {
    return buffers.take(dtype, shape);
  } catch (cause) {
    throw new CheckpointError(`${name}: ${end - begin} bytes, expected a tensor that fits into memory. Split it.`, {
      cause,
    });
  }
}

/** As transformers does, the single file goes before an index that also lies there. */
async function readTensors(folder: string, files: readonly string[]): Promise<Map<string, TensorInfo>> {
  if (files.includes(SINGLE_FILE)) {
    return new Map((await readHeader(join(folder, SINGLE_FILE))).map((info) => [info.name, info]));
  }
  if (files.includes(INDEX_FILE)) return readShards(join(folder, INDEX_FILE));
  const pickle = files.find((file) => /\.(bin|pt|pth)$/.test(file));
  const advice = pickle
    ? `${pickle} may hold code and is never read: convert it to safetensors first.`
    : "Check the path of the model.";
  throw new CheckpointError(`${folder}: no ${SINGLE_FILE}, expected it or ${INDEX_FILE}. ${advice}`);
}
