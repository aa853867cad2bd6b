import { ShapeError } from "../errors.ts";
import { rounder, toFloat32 } from "../tensor/convert.ts";
import type { DataOf, FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { QuantizationArgs } from "./arguments.ts";
import { type CodeDType, type CodeType, codeTypeOf } from "./code-type.ts";
import type { QParams } from "./qparams.ts";
import { forEachRun, type Tiling, tilingOf } from "./tiling.ts";

/** A weight as codes: element ≈ (number of the code − zeroPoint) · scale / globalScale. */
export interface QuantizedWeight extends QParams {
  /** One code for each element, whatever the bits; shape [out, in]. */
  readonly codes: Tensor<CodeDType>;
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
  const type = codeTypeOf(args);
  const codes = Tensor.zeros(type.dtype, weight.shape);
  const dtype = weight.dtype === qparams.scale.dtype && !qparams.globalScale ? weight.dtype : "F32";
  const kernel = quantizer(toFloat32(weight).data, codes.data, type, dtype, tiling.columns);
  forEachScaledRun(tiling, weight.shape, qparams, where, kernel);
  return { ...qparams, codes, args };
}

/** The weight that the codes stand for, each operation rounded to the scale's dtype (to F32 with a global scale). */
export function dequantizeWeight(quantized: QuantizedWeight, where = "weight"): Tensor<"F32"> {
  const { codes, args, scale, globalScale } = quantized;
  const weight = Tensor.zeros("F32", codes.shape);
  const tiling = tilingOf(args, codes.shape, where);
  const bytes = new Uint8Array(codes.data.buffer, codes.data.byteOffset, codes.data.length);
  const dtype = globalScale ? "F32" : scale.dtype;
  forEachScaledRun(tiling, codes.shape, quantized, where, dequantizer(bytes, weight.data, codeTypeOf(args), dtype));
  return weight;
}

function forEachScaledRun(
  tiling: Tiling,
  shape: readonly number[],
  { scale, zeroPoint, globalScale }: QParams,
  where: string,
  kernel: RunKernel,
): void {
  for (const tensor of zeroPoint ? [scale, zeroPoint] : [scale]) expectShape(tensor, tiling.scaleShape, where);
  const stored = toFloat32(scale).data;
  const scales = globalScale ? stored.map((local) => local / globalScale.data[0]) : stored;
  const zeroPoints = zeroPoint?.data ?? new Int8Array(scales.length);
  forEachRun(tiling, shape, (start, end, index) => kernel(start, end, scales[index], zeroPoints[index]));
}

/** Divides and clamps a run into a buffer, then rounds the buffer to codes: two plain loops, whatever the codes are. */
function quantizer(
  weight: Float32Array,
  codes: DataOf<CodeDType>,
  { min, max, encode }: CodeType,
  dtype: FloatDType,
  longest: number,
): RunKernel {
  const buffer = new Float32Array(longest);
  const scaled = dtype === "F32" ? divideRun : divideRunIn(dtype);
  return (start, end, scale, zeroPoint) => {
    const values = buffer.subarray(0, end - start);
    scaled(weight, start, scale, zeroPoint, values);
    for (let i = 0; i < values.length; i++) values[i] = Math.min(Math.max(values[i], min), max);
    encode(values, codes.subarray(start, end) as DataOf<CodeDType>);
  };
}

/** x / scale + zeroPoint for the elements from `start` on. */
type Divide = (weight: Float32Array, start: number, scale: number, zeroPoint: number, values: Float32Array) => void;

const divideRun: Divide = (weight, start, scale, zeroPoint, values) => {
  // Math.fround by name: the compiler turns it into float32 arithmetic, which it cannot for a rounder passed in.
  for (let i = 0; i < values.length; i++) values[i] = Math.fround(weight[start + i] / scale) + zeroPoint;
};

function divideRunIn(dtype: FloatDType): Divide {
  const rd = rounder(dtype);
  return (weight, start, scale, zeroPoint, values) => {
    for (let i = 0; i < values.length; i++) values[i] = rd(rd(weight[start + i] / scale) + zeroPoint);
  };
}

function dequantizer(codes: Uint8Array, weight: Float32Array, { values }: CodeType, dtype: FloatDType): RunKernel {
  const rd = rounder(dtype);
  return (start, end, scale, zeroPoint) => {
    // the difference is exact
    for (let i = start; i < end; i++) weight[i] = rd((values[codes[i]] - zeroPoint) * scale);
  };
}

function expectShape({ dtype, shape }: Tensor, expected: readonly number[], where: string): void {
  if (String(shape) === String(expected)) return;
  throw new ShapeError(
    `${where}: ${dtype} scale or zero point of shape [${shape.join(", ")}], expected [${expected.join(", ")}].`,
  );
}
