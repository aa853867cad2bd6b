import { type FileHandle, open, stat } from "node:fs/promises";
import { join } from "node:path";
import onnxProto from "onnx-proto";
import { z } from "zod";
import { readContained } from "../checkpoint/contained-file.ts";
import { readJsonFile } from "../checkpoint/json-file.ts";
import { readAt } from "../checkpoint/read-at.ts";
import { CheckpointError, ignore } from "../errors.ts";
import { ONNX_TYPE } from "../ops/constants.ts";
import { allocate, byteSize, type DType } from "../tensor/dtype.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";

/** A tensor of an exported decoder that lies in a file beside it. */
export interface ExternalTensor {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly file: string;
  readonly offset: number;
  readonly length: number;
}

/** An operation of an exported decoder. */
export interface OnnxNode {
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Those attributes that are integers. */
  readonly attributes: Readonly<Record<string, number>>;
}

/** What an ONNX file says, and its external data, which is read when asked for. */
export class OnnxFile {
  readonly #handles = new Map<string, Promise<FileHandle>>();

  private constructor(
    private readonly folder: string,
    readonly name: string,
    /** Files of external data, by config.json. */
    readonly chunks: number,
    /** Decoder layers, by config.json. */
    readonly layers: number,
    readonly irVersion: number,
    /** Version of ONNX's own operators. */
    readonly opset: number,
    readonly inputs: readonly string[],
    readonly outputs: readonly string[],
    readonly nodes: readonly OnnxNode[],
    readonly tensors: ReadonlyMap<string, ExternalTensor>,
    /** Names of constants that lie in the file itself. */
    readonly constants: ReadonlySet<string>,
  ) {}

  /** @throws CheckpointError for a file that is not there or is no ONNX */
  static async open(
    folder: string,
    name: string,
    { chunks, layers }: { chunks: number; layers: number },
  ): Promise<OnnxFile> {
    const path = join(folder, name);
    const bytes = await readContained(path).catch(ignore("ENOENT"));
    if (!bytes)
      throw new CheckpointError(`${path}: not there, expected the file that config.json names. Export again.`);
    let model: onnxProto.onnx.ModelProto;
    try {
      model = onnxProto.onnx.ModelProto.decode(bytes);
    } catch (cause) {
      throw new CheckpointError(`${path}: does not parse, expected ONNX. Export again.`, { cause });
    }
    const { input, output, node, initializer } = model.graph ?? {};
    const isExternal = (one: onnxProto.onnx.ITensorProto) => (one.externalData ?? []).length > 0;
    const external = (initializer ?? []).filter(isExternal).map((one) => externalTensor(path, one));
    return new OnnxFile(
      folder,
      name,
      chunks,
      layers,
      Number(model.irVersion),
      Number(model.opsetImport.find(({ domain }) => !domain)?.version),
      namesOf(input),
      namesOf(output),
      (node ?? []).map(nodeOf),
      new Map(external.map((tensor) => [tensor.name, tensor])),
      new Set(namesOf((initializer ?? []).filter((one) => !isExternal(one)))),
    );
  }

  /** Bytes of a file of external data; undefined if there is none. */
  async sizeOf(file: string): Promise<number | undefined> {
    return (await stat(join(this.folder, file)).catch(ignore("ENOENT")))?.size;
  }

  /** @throws CheckpointError for a file that is too short */
  async read({ name, dtype, shape, file, offset }: ExternalTensor): Promise<Tensor> {
    const handle = this.#handles.get(file) ?? open(join(this.folder, file), "r");
    this.#handles.set(file, handle);
    const tensor = new Tensor(dtype, shape, allocate(dtype, elementCount(shape)));
    if ((await readAt(await handle, offset, tensor.bytes)) === tensor.bytes.length) return tensor;
    throw new CheckpointError(`${name}: ${file} ends in it, expected ${tensor.bytes.length} bytes. Export again.`);
  }

  /** Closes all files. */
  async close(): Promise<void> {
    for (const handle of this.#handles.values()) await (await handle).close();
  }
}

const schema = z.object({
  num_hidden_layers: z.int().optional(),
  n_layer: z.int().optional(),
  "transformers.js_config": z.object({ use_external_data_format: z.record(z.string(), z.int()) }),
});

/**
 * Opens the models of a folder that transformers.js loads, one after another, and closes each.
 *
 * @throws CheckpointError for a config.json that does not tell of them, and as {@link OnnxFile.open} does
 */
export async function* openOnnxFiles(folder: string): AsyncGenerator<OnnxFile> {
  const config = await readJsonFile(join(folder, "config.json"), schema);
  const layers = config.num_hidden_layers ?? config.n_layer ?? 0;
  for (const [name, chunks] of Object.entries(config["transformers.js_config"].use_external_data_format)) {
    const file = await OnnxFile.open(join(folder, "onnx"), name, { chunks, layers });
    try {
      yield file;
    } finally {
      await file.close();
    }
  }
}

/** Bytes that an external tensor takes by its dtype and shape. */
export function bytesOf({ dtype, shape }: Pick<ExternalTensor, "dtype" | "shape">): number {
  return elementCount(shape) * byteSize(dtype);
}

function namesOf(values: readonly { readonly name?: string | null }[] | null | undefined): string[] {
  return (values ?? []).map(({ name }) => name ?? "");
}

function nodeOf({ opType, input, output, attribute }: onnxProto.onnx.INodeProto): OnnxNode {
  const attributes = Object.fromEntries((attribute ?? []).map(({ name, i }) => [name, Number(i)]));
  return { opType: opType ?? "", inputs: input ?? [], outputs: output ?? [], attributes };
}

function externalTensor(path: string, { name, dataType, dims, externalData }: onnxProto.onnx.ITensorProto) {
  const place = Object.fromEntries((externalData ?? []).map(({ key, value }) => [key, value]));
  const [dtype] = Object.entries(ONNX_TYPE).find(([, number]) => number === dataType) ?? [];
  if (!dtype) throw new CheckpointError(`${path}: ${name} of type ${dataType}, expected a known one. Export again.`);
  const [offset, length] = [Number(place.offset), Number(place.length)];
  return {
    name: name ?? "",
    dtype: dtype as DType,
    shape: (dims ?? []).map(Number),
    file: place.location ?? "",
    offset,
    length,
  };
}
