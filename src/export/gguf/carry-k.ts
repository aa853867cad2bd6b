import { K_BLOCK, K_SCALES, type KBlockType } from "../../gguf/k-blocks.ts";
import type { KBlockCodes } from "../../gguf/pack-k-blocks.ts";
import type { QuantizedWeight } from "../../schemes/quantize.ts";
import { forEachRun, tilingOf } from "../../schemes/tiling.ts";
import { rounder, toFloat32 } from "../../tensor/convert.ts";

const half = rounder("F16");

/**
 * A calibrated weight as blocks of 256 columns: the codes as they are, scales (and offsets, zero point times scale) as the nearest
 * multiples of one float16 number for each block. What a scale loses is made up for, on average over its codes, by the offset.
 */
export function carryKBlocks(type: KBlockType, weight: QuantizedWeight, where: string): KBlockCodes {
  const { codes, scale, zeroPoint, args } = weight;
  const { size, largest } = K_SCALES[type];
  const groups = codes.data.length / size;
  const [steps, offsets] = [new Float32Array(groups), new Float32Array(groups)];
  const stored = toFloat32(scale).data;
  forEachRun(tilingOf(args, codes.shape, where), codes.shape, (start, end, index) => {
    steps.fill(stored[index], start / size, end / size);
    offsets.fill((8 + (zeroPoint?.data[index] ?? 0)) * stored[index], start / size, end / size);
  });
  const d = largestOfBlocks(steps, K_BLOCK / size).map((most) => half(most / largest));
  const scales = inUnits(steps, d, largest);
  if (type === "Q6_K") return { codes: codes.data as Int8Array, d, scales };
  const shifted = Int8Array.from(codes.data as Int8Array, (code) => code + 8);
  for (let group = 0; group < groups; group++) {
    const lost = d[group >> 3] * scales[group] - steps[group];
    offsets[group] = Math.max(0, offsets[group] + lost * mean(shifted.subarray(group * size, (group + 1) * size)));
  }
  const dmin = largestOfBlocks(offsets, K_BLOCK / size).map((most) => half(most / largest));
  return { codes: shifted, d, scales, dmin, minima: inUnits(offsets, dmin, largest) };
}

function largestOfBlocks(values: Float32Array, groups: number): Float32Array {
  return Float32Array.from({ length: values.length / groups }, (_, block) =>
    Math.max(...values.subarray(block * groups, (block + 1) * groups)),
  );
}

/** Each value as a whole number of its block's units. */
function inUnits(values: Float32Array, units: Float32Array, largest: number): Int8Array {
  const perBlock = values.length / units.length;
  return Int8Array.from(values, (value, group) => {
    const unit = units[Math.floor(group / perBlock)];
    return unit === 0 ? 0 : Math.min(Math.round(value / unit), largest);
  });
}

function mean(values: Int8Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
