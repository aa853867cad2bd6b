import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { ignore } from "../errors.ts";
import { digestOf, readChecksums } from "../output/checksums.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { findNonFinite } from "../tensor/finite.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { FileCheck } from "./check-checkpoint.ts";
import { checkFiles } from "./check-files.ts";
import { checkGraph } from "./check-onnx-graph.ts";
import { bytesOf, type ExternalTensor, type OnnxFile, openOnnxFiles } from "./onnx-file.ts";
import { type Problem, problem, problemOf } from "./problem.ts";

/** Models whose weights are not quantized. */
const DENSE_FILES: readonly string[] = ["model.onnx", "model_fp16.onnx"];
const AGAIN = "Export the model again.";

/** Whether a folder is one that transformers.js loads, rather than a checkpoint. */
export async function isOnnxFolder(folder: string): Promise<boolean> {
  const names = (await readdir(folder).catch(ignore("ENOENT", "ENOTDIR"))) ?? [];
  return names.includes("onnx") && !names.some((name) => name.endsWith(".safetensors"));
}

/**
 * Opens every model of an exported folder as ONNX Runtime does, and tells what is wrong with it: files and weights that are
 * missing, cut or other than they were; a graph that transformers.js cannot run; weights that are not quantized and should be;
 * codes and scales that are not laid out as the operator reads them; scales below zero, NaN, weights that are all zero.
 *
 * @param asked - names of the weights that are to be quantized
 */
export async function checkOnnxFolder(
  folder: string,
  asked: ReadonlySet<string> = new Set(),
  signal?: AbortSignal,
): Promise<FileCheck> {
  const [problems, notes]: [Problem[], string[]] = [[], []];
  let [tensors, compressed] = [0, 0];
  const place = join(folder, "onnx");
  try {
    for (const part of [folder, place]) {
      const checksums = await readChecksums(part);
      if (checksums) problems.push(...(await checkFiles(part, checksums)));
    }
    const digests = (await readChecksums(place))?.tensors ?? new Map<string, string>();
    for await (const file of openOnnxFiles(folder)) {
      problems.push(...(await checkModel(file, { digests, asked, signal })));
      tensors += file.tensors.size;
      compressed += [...file.tensors.keys()].filter((tensor) => tensor.endsWith(".codes")).length;
    }
  } catch (error) {
    problems.push(problemOf(error));
  }
  return { problems, notes, tensors, compressed };
}

interface Expected {
  readonly digests: ReadonlyMap<string, string>;
  readonly asked: ReadonlySet<string>;
  readonly signal?: AbortSignal;
}

async function checkModel(file: OnnxFile, { digests, asked, signal }: Expected): Promise<Problem[]> {
  const places = await checkPlaces(file);
  const broken = new Set(places.map(({ where }) => where));
  const problems = [...places, ...checkGraph(file), ...checkAsked(file, asked)];
  for (const tensor of file.tensors.values()) {
    signal?.throwIfAborted();
    if (broken.has(tensor.name) || broken.has(tensor.file)) continue;
    const values = await file.read(tensor);
    problems.push(...checkValues(file, tensor, values));
    const digest = digests.get(`${file.name}/${tensor.name}`);
    if (digest !== undefined && digest !== digestOf(values.bytes))
      problems.push(problem(tensor.name, "other bytes than were written", "those that checksums.json tells of", AGAIN));
  }
  return problems;
}

/** Every tensor lies where a file is, which config.json counts, and takes the bytes that its shape says. */
async function checkPlaces(file: OnnxFile): Promise<Problem[]> {
  const known = Array.from({ length: file.chunks }, (_, chunk) => `${file.name}_data${chunk === 0 ? "" : `_${chunk}`}`);
  const sizes = new Map<string, number>();
  const problems: Problem[] = [];
  for (const name of known) {
    const size = await file.sizeOf(name);
    if (size === undefined)
      problems.push(problem(name, "not there", "a file of weights, as config.json counts", AGAIN));
    else sizes.set(name, size);
  }
  for (const tensor of file.tensors.values()) {
    const { name, offset, length } = tensor;
    const size = sizes.get(tensor.file);
    if (!known.includes(tensor.file))
      problems.push(problem(name, `in ${tensor.file}`, `one of ${known.join(", ")}, as config.json counts`, AGAIN));
    else if (length !== bytesOf(tensor))
      problems.push(problem(name, `${length} bytes`, `${bytesOf(tensor)}, as its shape says`, AGAIN));
    else if (size !== undefined && !(offset >= 0 && offset + length <= size))
      problems.push(problem(name, `${tensor.file} ends before it`, `${offset + length} bytes of it or more`, AGAIN));
  }
  return problems;
}

/** Floats are finite, scales positive too, and not all codes say zero. */
function checkValues({ tensors }: OnnxFile, { name, dtype }: ExternalTensor, values: Tensor): Problem[] {
  if (dtype === "F32" || dtype === "F16") {
    const { data } = toFloat32(values as Tensor<"F32">);
    const place = findNonFinite(data);
    if (place >= 0) return [problem(name, `${data[place]} at index ${place}`, "finite numbers", AGAIN)];
    const below = name.endsWith(".scales") ? data.findIndex((scale) => scale < 0) : -1;
    return below < 0 ? [] : [problem(name, `${data[below]} at index ${below}`, "a positive number", AGAIN)];
  }
  const zeroPoints = tensors.has(name.replace(/codes$/, "zero_points"));
  if (!name.endsWith(".codes") || zeroPoints) return [];
  const zeros = dtype === "I8" ? [0] : [0x88, 0x80]; // two codes of 4 bits a byte, and one of 8
  const [first] = values.data;
  const isZero = zeros.includes(Number(first)) && (values.data as Uint8Array).every((code) => code === first);
  return isZero ? [problem(name, "every weight decodes to zero", "some that are not", AGAIN)] : [];
}

/** Weights that are to be quantized are not there dense. */
function checkAsked({ name, tensors }: OnnxFile, asked: ReadonlySet<string>): Problem[] {
  if (DENSE_FILES.includes(name)) return [];
  return [...tensors.keys()]
    .filter((tensor) => asked.has(tensor))
    .map((tensor) => problem(tensor, "not quantized", "codes and scales, as the checkpoint has them", AGAIN));
}
