import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { VerificationError } from "../errors.ts";
import { bindCheckpoint } from "../formats/bind-checkpoint.ts";
import type { CausalLM } from "../models/causal-lm.ts";
import { createModel } from "../models/registry.ts";
import { Linear } from "../nn/linear.ts";
import { quantizeDynamic } from "../ops/fake-quantize.ts";
import { presetScheme } from "../schemes/presets.ts";
import { roundingOf } from "../schemes/quantized-values.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import type { ExternalTensor, OnnxFile } from "./onnx-file.ts";

/** A model as an exported file holds it. */
export interface OnnxModel {
  /** Each parameter is what the file's operators make of it; what the file does not have is as in the checkpoint. */
  readonly model: CausalLM;
  /** How the weights of modules are quantized, by path. */
  readonly kinds: ReadonlyMap<string, string>;
}

/**
 * The model that an exported file is of, with the file's weights; one is in memory when it is read.
 *
 * @param checkpoint - what it was exported from
 * @throws VerificationError for a weight of another size
 */
export function openOnnxModel(file: OnnxFile, checkpoint: Checkpoint): OnnxModel {
  const model = createModel(checkpoint.config, { where: checkpoint.pathOf("config.json") });
  bindCheckpoint(model, checkpoint);
  const modules = new Map(model.namedModules());
  const kinds = new Map<string, string>();
  for (const [name, parameter] of model.namedParameters()) {
    const codes = file.tensors.get(`${name}.codes`);
    const tensor = codes ?? file.tensors.get(name);
    if (!tensor) continue;
    const { shape } = parameter;
    const module = modules.get(name.replace(/\.weight$/, ""));
    expectSize(tensor, shape);
    const read = async () => new Tensor("F32", shape, await decode(file, tensor, shape, module instanceof Linear));
    parameter.source = { name: tensor.name, dtype: "F32", shape, read };
    if (!codes) continue;
    kinds.set(name.replace(/\.weight$/, ""), `codes of ${file.name}`);
    if (codes.dtype === "I8" && module instanceof Linear) roundInput(module);
  }
  return { model, kinds };
}

/** Codes in int8 multiply inputs that are rounded to int8, token by token. */
function roundInput(linear: Linear): void {
  const args = presetScheme("W8A8", []).inputActivations;
  if (!args) return;
  const rounding = { ...roundingOf({ name: "input", args, value: 0, heads: 0 }) };
  linear.quantizeInput = (x) => quantizeDynamic(x, rounding);
}

/** Blocks of codes may be padded, and codes of 4 bits share a byte. */
function expectSize({ name, shape: found }: ExternalTensor, shape: readonly number[]): void {
  const [size, expected] = [found, shape].map(elementCount);
  const fits = name.endsWith(".codes") ? found[0] === shape[0] || size === expected : size === expected;
  if (fits) return;
  const message = `[${found.join(", ")}], expected [${shape.join(", ")}] as in the source. Name the checkpoint that was exported.`;
  throw new VerificationError(`${name}: ${message}`);
}

/** A parameter of this shape as it lies in a file: dense, a linear's transposed where it multiplies; in blocks of codes; or in int8, transposed. */
async function decode(
  file: OnnxFile,
  tensor: ExternalTensor,
  shape: readonly number[],
  ofLinear: boolean,
): Promise<Float32Array<ArrayBuffer>> {
  const values = await file.read(tensor);
  if (!tensor.name.endsWith(".codes")) {
    const { data } = toFloat32(values as Tensor<"F32">);
    const multiplies = file.nodes.some(({ opType, inputs }) => opType === "MatMul" && inputs[1] === tensor.name);
    return ofLinear && multiplies ? transposed(data, shape) : data;
  }
  const part = async (field: string) => {
    const found = file.tensors.get(tensor.name.replace(/codes$/, field));
    return found && file.read(found);
  };
  const scales = toFloat32((await part("scales")) as Tensor<"F32">).data;
  if (tensor.dtype === "I8") return scaleRows(transposed(Float32Array.from(values.data as Int8Array), shape), scales);
  return decodeBlocks(values as Tensor<"U8">, scales, (await part("zero_points")) as Tensor<"U8"> | undefined, shape);
}
function transposed(data: Float32Array, [rows, columns]: readonly number[]): Float32Array<ArrayBuffer> {
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) result[row * columns + column] = data[column * rows + row];
  return result;
}

function scaleRows(codes: Float32Array<ArrayBuffer>, scales: Float32Array): Float32Array<ArrayBuffer> {
  const columns = codes.length / scales.length;
  return codes.map((code, index) => code * scales[Math.floor(index / columns)]);
}

/** (code − zero point) · scale, as MatMulNBits decodes: codes [rows, blocks, bytes of a block]. */
function decodeBlocks(
  codes: Tensor<"U8">,
  scales: Float32Array,
  zeroPoints: Tensor<"U8"> | undefined,
  [rows, columns]: readonly number[],
): Float32Array<ArrayBuffer> {
  const [, blocks, bytes] = codes.shape;
  const block = blockOf(blocks, bytes, columns);
  const bits = (8 * bytes) / block;
  const result = new Float32Array(rows * columns);
  const pick = (data: Uint8Array, row: number, index: number, width: number) =>
    bits === 8 ? data[row * width + index] : (data[row * width + (index >> 1)] >> (4 * (index & 1))) & 15;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = Math.floor(column / block);
      const zero = zeroPoints ? pick(zeroPoints.data, row, at, zeroPoints.shape[1]) : 2 ** (bits - 1);
      const code = pick(codes.data, row, column, blocks * bytes);
      result[row * columns + column] = (code - zero) * scales[row * blocks + at];
    }
  }
  return result;
}

/** Columns of a block of so many bytes: as many or, of 4 bits, twice as many. The last block may be padded. */
function blockOf(blocks: number, bytes: number, columns: number): number {
  return Math.ceil(columns / bytes) === blocks ? bytes : 2 * bytes;
}
