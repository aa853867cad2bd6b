import { ShapeError } from "../errors.ts";
import { Buffers } from "../tensor/buffers.ts";
import { rounder, toFloat32 } from "../tensor/convert.ts";
import type { DataOf, FloatDType } from "../tensor/dtype.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { QuantizationArgs } from "./arguments.ts";
import { type CodeDType, type CodeType, codeTypeOf } from "./code-type.ts";
import type { QParams } from "./qparams.ts";
import { forEachRun, tilingOf } from "./tiling.ts";

/** A weight as codes: element ≈ (number of the code − zeroPoint) · scale / globalScale. */
export interface QuantizedWeight extends QParams {
  /** One code for each element, whatever the bits; shape [out, in]. */
  readonly codes: Tensor<CodeDType>;
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
  const codes = Tensor.zeros(codeTypeOf(args).dtype, weight.shape);
  const values = toFloat32(weight).data;
  const runs = new RunRounding(args, arithmeticOf(weight.dtype, qparams));
  forEachScaledRun(args, weight.shape, qparams, where, (start, end, scale, zeroPoint) => {
    runs.encode(values, start, end, scale, zeroPoint, codes.data);
  });
  return { ...qparams, codes, args };
}

/** The weight that the codes stand for, each operation rounded to the scale's dtype (to F32 with a global scale), in memory of `buffers`. */
export function dequantizeWeight(quantized: QuantizedWeight, where = "weight", buffers = new Buffers()): Tensor<"F32"> {
  const { codes, args, scale } = quantized;
  const weight = buffers.take("F32", codes.shape);
  const runs = new RunRounding(args, arithmeticOf(scale.dtype, quantized));
  forEachScaledRun(args, codes.shape, quantized, where, (start, end, scale, zeroPoint) => {
    runs.decode(codes.data, start, end, scale, zeroPoint, weight.data);
  });
  return weight;
}

/**
 * Calls `visit` for every run of neighbouring elements, `start` to `end` (excluded), with the scale and zero point that they
 * share, in which a global scale is contained.
 */
export function forEachScaledRun(
  args: QuantizationArgs,
  shape: readonly number[],
  qparams: QParams,
  where: string,
  visit: (start: number, end: number, scale: number, zeroPoint: number, index: number) => void,
): void {
  const { scale, zeroPoint } = qparams;
  const tiling = tilingOf(args, shape, where);
  for (const tensor of zeroPoint ? [scale, zeroPoint] : [scale]) expectShape(tensor, tiling.scaleShape, where);
  const scales = scalesOf(qparams);
  const zeroPoints = zeroPoint?.data ?? new Int8Array(scales.length);
  forEachRun(tiling, shape, (start, end, index) => visit(start, end, scales[index], zeroPoints[index], index));
}

/** The numbers that codes are multiplied by: scales below a global one divided by it. */
export function scalesOf({ scale, globalScale }: Pick<QParams, "scale" | "globalScale">): Float32Array {
  const stored = toFloat32(scale).data;
  return globalScale ? stored.map((local) => local / globalScale.data[0]) : stored;
}

/** The dtype that a weight of this dtype is divided in: F32 where a scale is of another dtype. */
export function arithmeticOf(dtype: FloatDType, { scale, globalScale }: QParams): FloatDType {
  return dtype === scale.dtype && !globalScale ? dtype : "F32";
}

/** Rounds runs of elements that share a scale, `start` to `end` (excluded): plain loops over typed arrays. */
export class RunRounding {
  readonly #type: CodeType;
  readonly #divide: Divide;
  readonly #multiply: Multiply;
  #scaled = new Float32Array(0);

  /** @param dtype - each operation is rounded to it */
  constructor(args: QuantizationArgs, dtype: FloatDType) {
    this.#type = codeTypeOf(args);
    this.#divide = dtype === "F32" ? divideRun : divideRunIn(dtype);
    this.#multiply = dtype === "F32" ? multiplyRun : multiplyRunIn(dtype);
  }

  /** clamp(x / scale + zeroPoint), half to even, as codes. */
  encode(x: Float32Array, start: number, end: number, scale: number, zeroPoint: number, codes: DataOf<CodeDType>) {
    const count = end - start;
    if (this.#scaled.length < count) this.#scaled = new Float32Array(count);
    const scaled = this.#scaled;
    const { min, max } = this.#type;
    this.#divide(x, start, end, scale, zeroPoint, scaled);
    for (let i = 0; i < count; i++) scaled[i] = Math.min(Math.max(scaled[i], min), max);
    this.#type.encode(scaled, count, codes, start);
  }

  /** (number of the code − zeroPoint) · scale; the difference is exact. */
  decode(codes: DataOf<CodeDType>, start: number, end: number, scale: number, zeroPoint: number, x: Float32Array) {
    this.#multiply(this.#type.values, codes, start, end, scale, zeroPoint, x);
  }
}

// In float32 a plain loop, without a rounder passed in: the compiler turns it into float32 arithmetic.

/** x / scale + zeroPoint of the elements `start` to `end`, from the beginning of `scaled` on. */
type Divide = (
  x: Float32Array,
  start: number,
  end: number,
  scale: number,
  zeroPoint: number,
  scaled: Float32Array,
) => void;

const divideRun: Divide = (x, start, end, scale, zeroPoint, scaled) => {
  for (let i = start; i < end; i++) scaled[i - start] = Math.fround(x[i] / scale) + zeroPoint;
};

function divideRunIn(dtype: FloatDType): Divide {
  const rd = rounder(dtype);
  return (x, start, end, scale, zeroPoint, scaled) => {
    for (let i = start; i < end; i++) scaled[i - start] = rd(rd(x[i] / scale) + zeroPoint);
  };
}

/** (value of the code − zeroPoint) · scale, of the elements `start` to `end`. */
type Multiply = (
  values: Float32Array,
  codes: DataOf<CodeDType>,
  start: number,
  end: number,
  scale: number,
  zeroPoint: number,
  x: Float32Array,
) => void;

const multiplyRun: Multiply = (values, codes, start, end, scale, zeroPoint, x) => {
  for (let i = start; i < end; i++) x[i] = (values[codes[i] & 0xff] - zeroPoint) * scale;
};

function multiplyRunIn(dtype: FloatDType): Multiply {
  const rd = rounder(dtype);
  return (values, codes, start, end, scale, zeroPoint, x) => {
    for (let i = start; i < end; i++) x[i] = rd((values[codes[i] & 0xff] - zeroPoint) * scale);
  };
}

function expectShape({ dtype, shape }: Tensor, expected: readonly number[], where: string): void {
  if (String(shape) === String(expected)) return;
  throw new ShapeError(
    `${where}: ${dtype} scale or zero point of shape [${shape.join(", ")}], expected [${expected.join(", ")}].`,
  );
}
