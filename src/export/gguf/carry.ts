import { BLOCK, type BlockCodes } from "../../gguf/blocks.ts";
import type { QuantizedWeight } from "../../schemes/quantize.ts";
import { forEachRun, tilingOf } from "../../schemes/tiling.ts";
import { rounder, toFloat32 } from "../../tensor/convert.ts";

/**
 * A calibrated weight as blocks of 32 columns: the codes as they are, each block with the scale of its columns. Where there are
 * zero points, (code − zeroPoint) · scale becomes scale · (code + 8) + minimum with minimum = −(8 + zeroPoint) · scale.
 */
export function carryWeight(weight: QuantizedWeight, where: string): BlockCodes {
  const { codes, scale, zeroPoint, args } = weight;
  const stored = toFloat32(scale).data;
  const scales = new Float32Array(codes.data.length / BLOCK);
  const minima = zeroPoint && new Float32Array(scales.length);
  forEachRun(tilingOf(args, codes.shape, where), codes.shape, (start, end, index) => {
    scales.fill(stored[index], start / BLOCK, end / BLOCK);
    if (zeroPoint) minima?.fill(-(8 + zeroPoint.data[index]) * stored[index], start / BLOCK, end / BLOCK);
  });
  return { codes: codes.data as Int8Array, scales, minima };
}

/** What float16 does to numbers that a block stores. */
export interface Rounding {
  /** How many are not float16 numbers. */
  readonly rounded: number;
  /** The largest difference, as a share of what it is measured in. */
  readonly largest: number;
  /** Whether any is too large. */
  readonly overflows: boolean;
}

const half = rounder("F16");

/** How storing `values` in float16 changes them, each difference measured in the `unit` of the same place. */
export function roundingOf(values: Float32Array, unit: Float32Array): Rounding {
  let [rounded, largest, overflows] = [0, 0, false];
  for (let i = 0; i < values.length; i++) {
    const stored = half(values[i]);
    if (stored === values[i]) continue;
    rounded++;
    if (!Number.isFinite(stored)) overflows = true;
    else largest = Math.max(largest, Math.abs(stored - values[i]) / Math.abs(unit[i]));
  }
  return { rounded, largest, overflows };
}
