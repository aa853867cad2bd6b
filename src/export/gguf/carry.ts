import { BLOCK, type BlockCodes } from "../../gguf/blocks.ts";
import type { QuantizedWeight } from "../../schemes/quantize.ts";
import { forEachRun, tilingOf } from "../../schemes/tiling.ts";
import { rounder, toFloat32 } from "../../tensor/convert.ts";

/**
 * A calibrated weight as blocks of 32 columns: the codes as they are, each block with the scale of its columns. Where there are
 * zero points, (code − zeroPoint) · scale becomes scale · (code + 8) + minimum with minimum = −(8 + zeroPoint) · scale.
 */
export function carryWeight(weight: QuantizedWeight, where: string): BlockCodes {
  const { scales, offsets } = spreadScales(weight, BLOCK, where);
  const minima = weight.zeroPoint && offsets.map((offset) => -offset);
  return { codes: weight.codes.data as Int8Array, scales, minima };
}

/** The scale of every `size` columns, and how far below zero code −8 is: (8 + zeroPoint) · scale. */
export function spreadScales(
  { codes, scale, zeroPoint, args }: QuantizedWeight,
  size: number,
  where: string,
): Readonly<Record<"scales" | "offsets", Float32Array>> {
  const stored = toFloat32(scale).data;
  const scales = new Float32Array(codes.data.length / size);
  const offsets = new Float32Array(scales.length);
  forEachRun(tilingOf(args, codes.shape, where), codes.shape, (start, end, index) => {
    scales.fill(stored[index], start / size, end / size);
    offsets.fill((8 + (zeroPoint?.data[index] ?? 0)) * stored[index], start / size, end / size);
  });
  return { scales, offsets };
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
