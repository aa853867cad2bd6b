import type { CausalLM } from "../models/causal-lm.ts";
import { Comparison } from "../tensor/comparison.ts";
import { toFloat32 } from "../tensor/convert.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { WeightFidelity } from "./compare-weights.ts";
import { type ExternalTensor, type OnnxFile, openOnnxFiles } from "./onnx-file.ts";

/** Compares each weight of an exported folder, decoded, with what the model that it was exported from has; one is in memory. */
export async function* compareOnnxWeights(folder: string, original: CausalLM): AsyncGenerator<WeightFidelity> {
  const parameters = new Map(original.namedParameters());
  for await (const file of openOnnxFiles(folder)) {
    for (const tensor of file.tensors.values()) {
      const name = tensor.name.replace(/\.codes$/, "");
      const parameter = parameters.get(name);
      if (!parameter || tensor.name.endsWith(".table")) continue;
      const comparison = new Comparison();
      comparison.add(await decode(file, tensor, parameter.shape), (await parameter.load()).data);
      const weights = name === tensor.name ? "as they are" : `codes of ${file.name}`;
      const { signalToNoise, cosine } = comparison;
      yield { module: name.replace(/\.weight$/, ""), weights, signalToNoise, cosine };
    }
  }
}

/** A parameter of this shape as it lies in a file: dense, transposed where it multiplies; in blocks of codes; or in int8, transposed. */
async function decode(file: OnnxFile, tensor: ExternalTensor, shape: readonly number[]): Promise<Float32Array> {
  const values = await file.read(tensor);
  if (!tensor.name.endsWith(".codes")) {
    const { data } = toFloat32(values as Tensor<"F32">);
    const multiplies = file.nodes.some(({ opType, inputs }) => opType === "MatMul" && inputs[1] === tensor.name);
    return multiplies ? transposed(data, shape) : data;
  }
  const part = async (field: string) => {
    const found = file.tensors.get(tensor.name.replace(/codes$/, field));
    return found && file.read(found);
  };
  const scales = toFloat32((await part("scales")) as Tensor<"F32">).data;
  if (tensor.dtype === "I8") return scaleRows(transposed(Float32Array.from(values.data as Int8Array), shape), scales);
  return decodeBlocks(values as Tensor<"U8">, scales, (await part("zero_points")) as Tensor<"U8"> | undefined, shape);
}

function transposed(data: Float32Array, [rows, columns]: readonly number[]): Float32Array {
  const result = new Float32Array(data.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) result[row * columns + column] = data[column * rows + row];
  return result;
}

function scaleRows(codes: Float32Array, scales: Float32Array): Float32Array {
  const columns = codes.length / scales.length;
  return codes.map((code, index) => code * scales[Math.floor(index / columns)]);
}

/** (code − zero point) · scale, as MatMulNBits decodes: codes [rows, blocks, bytes of a block]. */
function decodeBlocks(
  codes: Tensor<"U8">,
  scales: Float32Array,
  zeroPoints: Tensor<"U8"> | undefined,
  [rows, columns]: readonly number[],
): Float32Array {
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
