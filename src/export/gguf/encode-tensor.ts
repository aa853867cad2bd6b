import { ConfigError } from "../../errors.ts";
import { narrow } from "../../formats/narrow.ts";
import { type BlockType, packBlocks } from "../../gguf/blocks.ts";
import { isKBlockType } from "../../gguf/k-blocks.ts";
import { tensorBytes } from "../../gguf/layout.ts";
import { packKBlocks } from "../../gguf/pack-k-blocks.ts";
import { interleavedOrder, reorderRows, rotatedRows } from "../../gguf/rotary-rows.ts";
import type { FloatDType } from "../../tensor/dtype.ts";
import { Tensor } from "../../tensor/tensor.ts";
import type { ExportSource } from "../export-source.ts";
import { carryWeight, type Rounding, roundingOf } from "./carry.ts";
import { carryKBlocks } from "./carry-k.ts";
import { roundToBlocks } from "./fit.ts";
import type { PlannedTensor } from "./plan.ts";

/** Heads of queries, and of keys. */
export interface Heads {
  readonly queries: number;
  readonly keys: number;
}

/** What an encoded tensor's float16 scales and minima lost. */
export interface EncodedTensor {
  readonly bytes: Uint8Array;
  readonly scales?: Rounding;
  readonly minima?: Rounding;
}

/**
 * Reads one tensor and encodes it.
 *
 * @param heads - where rotation pairs neighbours, so that rows of queries and keys are reordered; else undefined
 * @throws ConfigError for a calibrated scale that float16 has no room for
 */
export async function encodeTensor(
  source: ExportSource,
  tensor: PlannedTensor,
  heads: Heads | undefined,
): Promise<EncodedTensor> {
  const encoded = await encode(source, tensor);
  const rotated = rotatedRows(tensor.path);
  if (!heads || !rotated) return encoded;
  const [rows] = tensor.shape;
  const order = interleavedOrder(rows, heads[rotated]);
  return { ...encoded, bytes: reorderRows(encoded.bytes, tensorBytes(tensor) / rows, order) };
}

async function encode(source: ExportSource, tensor: PlannedTensor): Promise<EncodedTensor> {
  const { path, parameter, type, carried, addsOne } = tensor;
  const weight = carried === undefined ? undefined : await source.quantizedWeight(carried);
  if (!weight) {
    const loaded = await parameter.load();
    const values = addsOne
      ? new Tensor(
          "F32",
          loaded.shape,
          loaded.data.map((value) => value + 1),
        )
      : loaded;
    if (isBlockType(type)) return { bytes: packBlocks(type, roundToBlocks(type, values.data)) };
    return { bytes: narrow(path, values, type as FloatDType).bytes };
  }
  if (isKBlockType(type)) return { bytes: packKBlocks(type, carryKBlocks(type, weight, path)) };
  const blocks = carryWeight(weight, path);
  const scales = roundingOf(blocks.scales, blocks.scales);
  const minima = blocks.minima && roundingOf(blocks.minima, blocks.scales);
  if (scales.overflows || minima?.overflows) {
    throw new ConfigError(`${path}: a scale that float16 has no room for, expected at most 65504. Choose --dtype F16.`);
  }
  return { bytes: packBlocks(type as BlockType, blocks), scales, minima };
}

function isBlockType(type: string): type is BlockType {
  return type === "Q8_0" || type === "Q4_0" || type === "Q4_1";
}
