import { ShapeError } from "../errors.ts";
import {
  decodeTiles,
  type ErrorMeasure,
  encodeTiles,
  squaredDistanceToTiles,
  type TileScales,
  type Tiles,
  tileErrors,
} from "../kernels/tiles.ts";
import { Buffers } from "../tensor/buffers.ts";
import { toFloat32 } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { QuantizationArgs } from "./arguments.ts";
import { type CodeDType, codeTypeOf } from "./code-type.ts";
import type { QParams } from "./qparams.ts";
import { tilesOf, tilingOf } from "./tiling.ts";

/** A weight as codes: element ≈ (number of the code − zeroPoint) · scale / globalScale. */
export interface QuantizedWeight extends QParams {
  /** One code for each element, whatever the bits; shape [out, in]. */
  readonly codes: Tensor<CodeDType>;
  /** How the codes are to be read. */
  readonly args: QuantizationArgs;
}

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
  const { dtype, kind, min, max } = codeTypeOf(args);
  const codes = Tensor.zeros(dtype, weight.shape);
  const { tiles, scales } = scaledTiles(args, weight.shape, qparams, where, weight.dtype);
  encodeTiles(toFloat32(weight).data, tiles, scales, kind, [min, max], codes.data);
  return { ...qparams, codes, args };
}

/** The weight that the codes stand for, each operation rounded to the scale's dtype (to F32 with a global scale), in memory of `buffers`. */
export function dequantizeWeight(quantized: QuantizedWeight, where = "weight", buffers = new Buffers()): Tensor<"F32"> {
  const { codes, args, scale } = quantized;
  const weight = buffers.take("F32", codes.shape);
  const { tiles, scales } = scaledTiles(args, codes.shape, quantized, where, scale.dtype);
  decodeTiles(codes.data, tiles, scales, codeTypeOf(args).kind, weight.data);
  return weight;
}

/** Σ (w − the value of its code)² over a weight, without a copy of all values. */
export function squaredDistanceToCodes(weight: Tensor<"F32">, quantized: QuantizedWeight): number {
  const { codes, args, scale } = quantized;
  const { tiles, scales } = scaledTiles(args, codes.shape, quantized, "weight", scale.dtype);
  return squaredDistanceToTiles(weight.data, codes.data, tiles, scales, codeTypeOf(args).kind);
}

/** What rounding a weight loses under each scale: Σ |w − the value of its code|^norm, weighed as `measure` says. */
export function roundingErrors(
  weight: Tensor<FloatDType>,
  qparams: QParams,
  args: QuantizationArgs,
  where: string,
  measure: ErrorMeasure,
): Float64Array {
  const { kind, min, max } = codeTypeOf(args);
  const { tiles, scales } = scaledTiles(args, weight.shape, qparams, where, weight.dtype);
  return tileErrors(toFloat32(weight).data, tiles, scales, kind, [min, max], measure);
}

/** The tiles of a weight with their scales and zero points, in which a global scale is contained. */
function scaledTiles(
  args: QuantizationArgs,
  shape: readonly number[],
  qparams: QParams,
  where: string,
  dtype: FloatDType,
): { readonly tiles: Tiles; readonly scales: TileScales } {
  const { scale, zeroPoint } = qparams;
  const tiling = tilingOf(args, shape, where);
  for (const tensor of zeroPoint ? [scale, zeroPoint] : [scale]) expectShape(tensor, tiling.scaleShape, where);
  const stored = scalesOf(qparams);
  const scales = {
    scale: stored,
    zeroPoint: zeroPoint ? Float32Array.from(zeroPoint.data) : new Float32Array(stored.length),
    dtype: arithmeticOf(dtype, qparams),
  };
  return { tiles: tilesOf(tiling, shape), scales };
}

/** The numbers that codes are multiplied by: scales below a global one divided by it. */
export function scalesOf({ scale, globalScale }: Pick<QParams, "scale" | "globalScale">): Float32Array {
  const stored = toFloat32(scale).data;
  return globalScale ? stored.map((local) => local / globalScale.data[0]) : stored;
}

/** The dtype that a weight of this dtype is divided in: F32 where a scale is of another dtype. */
function arithmeticOf(dtype: FloatDType, { scale, globalScale }: QParams): FloatDType {
  return dtype === scale.dtype && !globalScale ? dtype : "F32";
}

function expectShape({ dtype, shape }: Tensor, expected: readonly number[], where: string): void {
  if (String(shape) === String(expected)) return;
  throw new ShapeError(
    `${where}: ${dtype} scale or zero point of shape [${shape.join(", ")}], expected [${expected.join(", ")}].`,
  );
}
