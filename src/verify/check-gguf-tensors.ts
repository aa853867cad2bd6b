import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { basename } from "node:path";
import { readAt } from "../checkpoint/read-at.ts";
import type { TensorInfo } from "../checkpoint/safetensors.ts";
import { decodeTensor } from "../gguf/decode-tensor.ts";
import type { PlacedTensor } from "../gguf/parse-header.ts";
import { isPlainType, type TensorType } from "../gguf/tensor-types.ts";
import { digestOfHeader, readDigests } from "../output/gguf-digests.ts";
import { findNonFinite } from "../tensor/finite.ts";
import { isZero, type Source } from "./check-checkpoint.ts";
import { moduleOf, type OpenedGguf, ownerOf } from "./opened-gguf.ts";
import { type Problem, problem } from "./problem.ts";

/** Bytes that are read and decoded at a time. */
const CHUNK = 2 ** 20;

/**
 * Reads every tensor once, some rows at a time: values are finite, a quantized weight has some that are not zero, and keys and
 * bytes are those of the digests that the file brings, if it does.
 */
export async function checkGgufTensors(
  opened: OpenedGguf,
  source: Source | undefined,
  signal: AbortSignal | undefined,
): Promise<Problem[]> {
  const digests = readDigests(opened.parts[0].metadata);
  const problems = digests ? checkHeader(opened, digests.header) : [];
  let index = 0;
  for (const { file, tensors } of opened.parts) {
    const handle = await open(file);
    try {
      for (const tensor of tensors) {
        signal?.throwIfAborted();
        const hash = createHash("sha256");
        for (const part of partsOf(opened, file, tensor)) {
          const found = await scan(handle, tensor.type, part, hash);
          problems.push(...(await judge(part, tensor.type, found, source)));
        }
        if (digests && hash.digest("hex") !== digests.tensors[index++]) problems.push(otherBytes(opened, tensor));
      }
    } finally {
      await handle.close();
    }
  }
  return problems;
}

function checkHeader({ path, parts }: OpenedGguf, digest: string): Problem[] {
  const tensors = parts.flatMap((part) => part.tensors);
  if (digest === digestOfHeader(parts[0].metadata, tensors)) return [];
  const found = "other keys or tensors than were written";
  return [problem(basename(path), found, "those that its own digest tells of")];
}

function otherBytes(opened: OpenedGguf, { name }: PlacedTensor): Problem {
  return problem(ownerOf(opened, name), `${name} has other bytes than were written`, "those of the file's digest");
}

/** A weight of the model as it lies in a file, or a tensor that is none. */
type StoredPart = Pick<TensorInfo, "name" | "shape" | "begin" | "end" | "encoding">;

/** The parameters that a tensor holds, in the file's shape: one, or one for each expert; itself where it holds none. */
function partsOf({ checkpoint }: OpenedGguf, file: string, tensor: PlacedTensor): StoredPart[] {
  const isPart = (info: TensorInfo) => info.file === file && info.begin >= tensor.begin && info.end <= tensor.end;
  const [first, ...others] = [...checkpoint.tensors.values()].filter(isPart);
  return others.length > 0 ? [first, ...others] : [{ ...tensor, ...first, shape: tensor.shape }];
}

/** What the values of a tensor are. */
interface Scanned {
  /** Of the first value that is not finite: its row, in the file's order, and column. */
  readonly notFinite?: readonly [row: number, column: number];
  readonly allZero: boolean;
}

/** Decodes a tensor, and adds its bytes to a digest. */
async function scan(
  handle: FileHandle,
  type: TensorType,
  { shape, begin, end }: StoredPart,
  hash: Hash,
): Promise<Scanned> {
  const [rows, columns] = shape.length < 2 ? [1, shape[0]] : [shape[0], shape[1]];
  const rowBytes = (end - begin) / rows;
  const count = Math.max(1, Math.floor(CHUNK / rowBytes));
  let [notFinite, allZero]: [Scanned["notFinite"], boolean] = [undefined, true];
  for (let row = 0; row < rows; row += count) {
    const size = Math.min(count, rows - row);
    const bytes = new Uint8Array(size * rowBytes);
    await readAt(handle, begin + row * rowBytes, bytes);
    hash.update(bytes);
    const { data } = decodeTensor(type, [size, columns], bytes);
    const place = findNonFinite(data);
    if (place >= 0) notFinite ??= [row + Math.floor(place / columns), place % columns];
    allZero &&= data.every((value) => value === 0);
  }
  return { notFinite, allZero };
}

async function judge(
  { name, encoding }: StoredPart,
  type: TensorType,
  { notFinite, allZero }: Scanned,
  source: Source | undefined,
): Promise<Problem[]> {
  const module = moduleOf(name);
  if (notFinite) {
    const [row, column] = encoding?.transposed ? notFinite.toReversed() : notFinite;
    const place = `row ${encoding?.places?.indexOf(row) ?? row}, column ${column}`; // in the order of rows that the model has
    return [problem(module, `NaN or infinite at ${place}`, "finite numbers")];
  }
  if (isPlainType(type) || !allZero || (await isZero(source, module))) return [];
  return [problem(module, "every weight decodes to zero", "some that are not")];
}
