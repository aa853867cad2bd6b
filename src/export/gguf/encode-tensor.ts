import { ConfigError } from "../../errors.ts";
import { narrow } from "../../formats/narrow.ts";
import type { Architecture } from "../../gguf/architectures.ts";
import { type BlockType, packBlocks } from "../../gguf/blocks.ts";
import { decodeTensor } from "../../gguf/decode-tensor.ts";
import { isKBlockType, type KBlockType } from "../../gguf/k-blocks.ts";
import { tensorBytes } from "../../gguf/layout.ts";
import { packKBlocks } from "../../gguf/pack-k-blocks.ts";
import { type Heads, reorderingOf, reorderRows } from "../../gguf/row-order.ts";
import type { TensorType } from "../../gguf/tensor-types.ts";
import { loadPieces } from "../../nn/parameter.ts";
import { dequantizeWeight, type QuantizedWeight } from "../../schemes/quantize.ts";
import { Comparison } from "../../tensor/comparison.ts";
import { toFloat32 } from "../../tensor/convert.ts";
import type { FloatDType } from "../../tensor/dtype.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { transpose } from "../../tensor/transpose.ts";
import type { ExportSource } from "../export-source.ts";
import { carryWeight, type Rounding, roundingOf } from "./carry.ts";
import { carryKBlocks } from "./carry-k.ts";
import { roundToBlocks } from "./fit.ts";
import type { PlannedTensor } from "./plan.ts";

/** Where rows of a file lie in an order of their own. */
export interface FileOrder {
  readonly architecture: Architecture;
  readonly heads: Heads;
}

/** Bytes of a tensor, and what its float16 scales and minima lost. */
export interface EncodedTensor {
  readonly bytes: Uint8Array;
  readonly scales?: Rounding;
  readonly minima?: Rounding;
  /** Of a calibrated weight whose scales are stored in fewer bits: its energy over that of what they lost, in dB. */
  readonly signalToNoise?: number;
}

/**
 * Reads one tensor and encodes it: a calibrated weight at once, dense values in pieces of whole rows, one of which is in memory.
 *
 * @throws ConfigError for a calibrated scale that float16 has no room for
 */
export async function* encodeTensor(
  source: ExportSource,
  tensor: PlannedTensor,
  { architecture, heads }: FileOrder,
): AsyncGenerator<EncodedTensor> {
  const { path, parameter, type, carried, transposed } = tensor;
  if (transposed) {
    yield { bytes: encodeValues(path, transpose(await parameter.load()), tensor) };
    return;
  }
  const weight = carried === undefined ? undefined : await source.quantizedWeight(carried);
  const reordering = reorderingOf(architecture, path);
  if (!weight && !reordering) {
    for await (const values of loadPieces(parameter)) yield { bytes: encodeValues(path, values, tensor) };
    return;
  }
  const encoded = weight
    ? encodeCodes(path, weight, type)
    : { bytes: encodeValues(path, await parameter.load(), tensor) };
  if (!reordering) yield encoded;
  else {
    const [rows] = tensor.shape;
    const order = reordering.order(rows, heads[reordering.heads]);
    yield { ...encoded, bytes: reorderRows(encoded.bytes, tensorBytes(tensor) / rows, order) };
  }
}

function encodeValues(path: string, { shape, data }: Tensor<"F32">, { type, addsOne }: PlannedTensor): Uint8Array {
  const values = addsOne ? data.map((value) => value + 1) : data;
  if (isBlockType(type)) return packBlocks(type, roundToBlocks(type, values));
  return narrow(path, new Tensor("F32", shape, values), type as FloatDType).bytes;
}

function encodeCodes(path: string, weight: QuantizedWeight, type: TensorType): EncodedTensor {
  if (isKBlockType(type)) {
    const bytes = packKBlocks(type, carryKBlocks(type, weight, path));
    return { bytes, signalToNoise: signalToNoise(type, bytes, weight) };
  }
  const blocks = carryWeight(weight, path);
  const scales = roundingOf(blocks.scales, blocks.scales);
  const minima = blocks.minima && roundingOf(blocks.minima, blocks.scales);
  if (scales.overflows || minima?.overflows) {
    throw new ConfigError(`${path}: a scale that float16 has no room for, expected at most 65504. Choose --dtype F16.`);
  }
  return { bytes: packBlocks(type as BlockType, blocks), scales, minima };
}

/** What a reader makes of the bytes, beside what calibration chose. */
function signalToNoise(type: KBlockType, bytes: Uint8Array, weight: QuantizedWeight): number {
  const { shape, data } = dequantizeWeight({ ...weight, scale: toFloat32(weight.scale) });
  const comparison = new Comparison();
  comparison.add(decodeTensor(type, shape, bytes).data, data);
  return comparison.signalToNoise;
}

function isBlockType(type: string): type is BlockType {
  return type === "Q8_0" || type === "Q4_0" || type === "Q4_1";
}
