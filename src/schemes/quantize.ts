import { ShapeError } from "../errors.ts";
import { rounder, toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { roundHalfToEven } from "../tensor/rounding.ts";
import { Tensor } from "../tensor/tensor.ts";
import { integerRange, type QuantizationArgs } from "./arguments.ts";
import type { QParams } from "./qparams.ts";
import { forEachRun, type Tiling, tilingOf } from "./tiling.ts";

/** A weight as integer codes: element ≈ (code − zeroPoint) · scale. */
export interface QuantizedWeight extends QParams {
  /** One signed code for each element, whatever the bits; shape [out, in]. */
  readonly codes: Tensor<"I8">;
  readonly args: QuantizationArgs;
}

/** Works on elements `start` to `end` (excluded), which share one scale and zero point. */
type RunKernel = (start: number, end: number, scale: number, zeroPoint: number) => void;

/**
 * Rounds each element to the nearest code: clamp(x / scale + zeroPoint), half to even, each operation rounded to the
 * weight's dtype (to F32 where the scale has another one). `where` names the module in errors.
 */
export function quantizeWeight(
  weight: Tensor<FloatDType>,
  qparams: QParams,
  args: QuantizationArgs,
  where = "weight",
): QuantizedWeight {
  const tiling = tilingOf(args, weight.shape, where);
  const codes = Tensor.zeros("I8", weight.shape);
  const dtype = weight.dtype === qparams.scale.dtype ? weight.dtype : "F32";
  forEachScaledRun(tiling, weight.shape, qparams, where, quantizer(toFloat32(weight).data, codes.data, args, dtype));
  return { ...qparams, codes, args };
}

/** The weight that the codes stand for, each operation rounded to the scale's dtype. */
export function dequantizeWeight(quantized: QuantizedWeight, where = "weight"): Tensor<"F32"> {
  const { codes, args, scale } = quantized;
  const weight = Tensor.zeros("F32", codes.shape);
  const tiling = tilingOf(args, codes.shape, where);
  forEachScaledRun(tiling, codes.shape, quantized, where, dequantizer(codes.data, weight.data, scale.dtype));
  return weight;
}

function forEachScaledRun(
  tiling: Tiling,
  shape: readonly number[],
  { scale, zeroPoint }: QParams,
  where: string,
  kernel: RunKernel,
): void {
  for (const tensor of zeroPoint ? [scale, zeroPoint] : [scale]) expectShape(tensor, tiling.scaleShape, where);
  const scales = toFloat32(scale).data;
  const zeroPoints = zeroPoint?.data ?? new Int8Array(scales.length);
  forEachRun(tiling, shape, (start, end, index) => kernel(start, end, scales[index], zeroPoints[index]));
}

function quantizer(weight: Float32Array, codes: Int8Array, args: QuantizationArgs, dtype: FloatDType): RunKernel {
  const { min, max } = integerRange(args);
  if (dtype === "F32") {
    // Math.fround by name: the compiler turns it into float32 arithmetic, which it cannot for a rounder passed in.
    return (start, end, scale, zeroPoint) => {
      for (let i = start; i < end; i++) {
        const value = Math.fround(Math.fround(weight[i] / scale) + zeroPoint);
        codes[i] = roundHalfToEven(Math.min(Math.max(value, min), max));
      }
    };
  }
  const rd = rounder(dtype);
  return (start, end, scale, zeroPoint) => {
    for (let i = start; i < end; i++) {
      const value = rd(rd(weight[i] / scale) + zeroPoint);
      codes[i] = roundHalfToEven(Math.min(Math.max(value, min), max));
    }
  };
}

function dequantizer(codes: Int8Array, weight: Float32Array, dtype: FloatDType): RunKernel {
  const rd = rounder(dtype);
  return (start, end, scale, zeroPoint) => {
    for (let i = start; i < end; i++) weight[i] = rd((codes[i] - zeroPoint) * scale); // the difference is exact
  };
}

function expectShape({ dtype, shape }: Tensor, expected: readonly number[], where: string): void {
  if (String(shape) === String(expected)) return;
  throw new ShapeError(
    `${where}: ${dtype} scale or zero point of shape [${shape.join(", ")}], expected [${expected.join(", ")}].`,
  );
}
