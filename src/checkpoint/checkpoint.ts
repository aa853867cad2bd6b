import { type FileHandle, open, readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { viewBytes } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import { readHeader, type TensorInfo } from "./safetensors.ts";

const SINGLE_FILE = "model.safetensors";
const INDEX_FILE = "model.safetensors.index.json";

/** A Hugging Face checkpoint on disk: its configuration and where its tensors lie. A tensor is read when asked for. */
export class Checkpoint {
  readonly #handles = new Map<string, Promise<FileHandle>>();

  constructor(
    readonly folder: string,
    /** What config.json says. */
    readonly config: Readonly<Record<string, unknown>>,
    /** Every tensor by name. */
    readonly tensors: ReadonlyMap<string, TensorInfo>,
  ) {}

  /** Reads a whole tensor. @throws CheckpointError for a name that it does not have, or a file that got shorter */
  async read(name: string): Promise<Tensor> {
    const { dtype, shape, begin, end } = this.#info(name);
    return new Tensor(dtype, shape, viewBytes(dtype, await this.readBytes(name, 0, end - begin)));
  }

  /** Reads `length` bytes of a tensor, from its byte `offset`. */
  async readBytes(name: string, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const { file, begin } = this.#info(name);
    const bytes = new Uint8Array(length);
    const handle = await this.#open(file);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await handle.read(bytes, done, Math.min(length - done, 2 ** 30), begin + offset + done);
      if (bytesRead === 0)
        throw new CheckpointError(`${file}: ends inside ${name}, expected all of its bytes. Get the file again.`);
      done += bytesRead;
    }
    return bytes;
  }

  /** Names of the files beside the weights. */
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
  }

  #info(name: string): TensorInfo {
    const info = this.tensors.get(name);
    if (!info)
      throw new CheckpointError(`${this.folder}: no tensor ${name}, expected one of ${this.tensors.size} others.`);
    return info;
  }

  #open(file: string): Promise<FileHandle> {
    const handle = this.#handles.get(file) ?? open(file);
    this.#handles.set(file, handle);
    return handle;
  }
}

/**
 * Opens a checkpoint folder: config.json, and safetensors in one file or several with an index.
 *
 * @throws CheckpointError for files that are missing or broken, and for weights in pickle files, which are never run
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  const config = await readJson(join(folder, "config.json"), z.record(z.string(), z.unknown()));
  const files = await readdir(folder);
  if (files.includes(INDEX_FILE)) return new Checkpoint(folder, config, await readShards(folder));
  if (!files.includes(SINGLE_FILE)) throw noWeights(folder, files);
  return new Checkpoint(folder, config, byName(await readHeader(join(folder, SINGLE_FILE))));
}

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

async function readShards(folder: string): Promise<Map<string, TensorInfo>> {
  const indexFile = join(folder, INDEX_FILE);
  const { weight_map: weightMap } = await readJson(indexFile, indexSchema);
  const tensors = new Map<string, TensorInfo>();
  for (const file of new Set(Object.values(weightMap))) {
    if (file !== basename(file) || !file.endsWith(".safetensors")) {
      throw new CheckpointError(
        `${indexFile}: names the file ${file}, expected a .safetensors file in the same folder.`,
      );
    }
    for (const info of await readHeader(join(folder, file)))
      if (weightMap[info.name] === file) tensors.set(info.name, info);
  }
  for (const [name, file] of Object.entries(weightMap)) {
    if (!tensors.has(name)) {
      throw new CheckpointError(
        `${indexFile}: says that ${file} holds ${name}, which it does not. Get the checkpoint again.`,
      );
    }
  }
  return tensors;
}

function byName(tensors: readonly TensorInfo[]): Map<string, TensorInfo> {
  return new Map(tensors.map((info) => [info.name, info]));
}

async function readJson<Schema extends z.ZodType>(file: string, schema: Schema): Promise<z.infer<Schema>> {
  const text = await readFile(file, "utf8").catch((cause) => {
    throw new CheckpointError(`${file}: cannot be read, expected a checkpoint's file. Check the path of the model.`, {
      cause,
    });
  });
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new CheckpointError(`${file}: not the JSON of a checkpoint, expected an object. Get the file again.`, {
      cause,
    });
  }
}

function noWeights(folder: string, files: readonly string[]): CheckpointError {
  const pickle = files.find((file) => /\.(bin|pt|pth)$/.test(file));
  const advice = pickle
    ? `${pickle} may hold code and is never read: convert it to safetensors first.`
    : "Check the path of the model.";
  return new CheckpointError(`${folder}: no ${SINGLE_FILE}, expected it or ${INDEX_FILE}. ${advice}`);
}
