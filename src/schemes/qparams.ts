import { ShapeError } from "../errors.ts";
import { fromFloat32, rounder } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { encodeFloat8, FLOAT8_VALUES } from "../tensor/float8.ts";
import { roundHalfToEven } from "../tensor/rounding.ts";
import { Tensor } from "../tensor/tensor.ts";
import { isMicroscaling, type QuantizationArgs, zeroPointDType } from "./arguments.ts";
import { codeTypeOf } from "./code-type.ts";
import { microscales } from "./microscaling.ts";

/** The smallest and the largest element under each scale; both of the scale's shape. */
export interface Range {
  readonly min: Tensor<"F32">;
  readonly max: Tensor<"F32">;
}

/** What turns a weight into codes: `code = round(weight / scale · globalScale + zeroPoint)`. */
export interface QParams {
  /** The step between codes: [out, 1] by channel, [out, groups] by group, [1] for the whole weight. */
  readonly scale: Tensor<FloatDType>;
  /** Absent where the arguments are symmetric. */
  readonly zeroPoint?: Tensor<"I8" | "F32">;
  /** One number that all scales were multiplied with, for strategy `tensor_group`; shape [1]. */
  readonly globalScale?: Tensor<"F32">;
}

/** How scales are rounded where they are stored in another dtype than the weight's, and what a scale of 0 becomes. */
interface ScaleRounding {
  readonly round: (scale: number) => number;
  readonly zero: number;
}

/** What a scale of exactly 0 becomes, in the dtype it is stored in. */
const ZERO_SCALE: Readonly<Record<FloatDType, number>> = { F32: 2 ** -23, BF16: 2 ** -7, F16: 2 ** -10 };

/**
 * Scale and zero point of each range, computed in `dtype` with one rounding to it after every operation, as the
 * reference does: a BF16 weight gets BF16 scales, and codes that fit them.
 *
 * The range is widened to hold 0. Symmetric: scale = amax / ((max − min) / 2) of the codes, so ±amax maps to ±7.5 for
 * integers of 4 bits, to ±448 for float8. Asymmetric: scale = (hi − lo) / (max − min), zeroPoint = min − lo / scale,
 * rounded to a code unless `zpDtype` is `torch.float32`.
 *
 * @param globalScale - for strategy `tensor_group`: see {@link globalScaleOf}
 */
export function computeQParams(
  range: Range,
  args: QuantizationArgs,
  dtype: FloatDType,
  globalScale?: Tensor<"F32">,
): QParams {
  const { min, max } = range;
  if (String(min.shape) !== String(max.shape)) {
    throw new ShapeError(
      `range: min has shape [${min.shape.join(", ")}], expected [${max.shape.join(", ")}] as max has.`,
    );
  }
  if (!args.symmetric) return asymmetric(range, args, dtype);
  const amax = largestMagnitudes(range);
  const scale = isMicroscaling(args) ? microscales(amax, args.numBits, dtype) : plainScales(amax, args, dtype);
  const { round, zero } = scaleRounding(args, dtype);
  for (let i = 0; i < scale.data.length; i++) {
    const rounded = round(globalScale ? Math.fround(globalScale.data[0] * scale.data[i]) : scale.data[i]);
    scale.data[i] = rounded === 0 ? zero : rounded;
  }
  return { scale: fromFloat32(scale, dtype), ...(globalScale && { globalScale }) };
}

/**
 * What brings the scales of a whole weight, or of several that a runtime fuses, into the range of float8:
 * 448 · 6 / amax, as a reciprocal in `dtype`; 1 where there is nothing to scale. Follows `generate_gparam`.
 */
export function globalScaleOf(amax: number, dtype: FloatDType): Tensor<"F32"> {
  const rd = rounder(dtype);
  const scale = rd(rd(1 / Math.max(amax, SMALLEST_NORMAL[dtype])) * (448 * 6));
  return new Tensor("F32", [1], Float32Array.of(Number.isFinite(scale) ? scale : 1));
}

const SMALLEST_NORMAL: Readonly<Record<FloatDType, number>> = { F32: 2 ** -126, BF16: 2 ** -126, F16: 2 ** -14 };

/** The largest magnitude in all ranges. */
export function largestMagnitude(range: Range): number {
  return largestMagnitudes(range).data.reduce((amax, magnitude) => Math.max(amax, magnitude), 0);
}

/** max(|min|, |max|) of each range. */
function largestMagnitudes({ min, max }: Range): Tensor<"F32"> {
  const amax = Tensor.zeros("F32", min.shape);
  for (let i = 0; i < amax.data.length; i++) amax.data[i] = Math.max(-min.data[i], max.data[i], 0);
  return amax;
}

function plainScales(amax: Tensor<"F32">, args: QuantizationArgs, dtype: FloatDType): Tensor<"F32"> {
  const { min, max } = codeTypeOf(args);
  const [half, rd] = [(max - min) / 2, rounder(dtype)];
  return new Tensor(
    "F32",
    amax.shape,
    amax.data.map((magnitude) => rd(magnitude / half)),
  );
}

function scaleRounding({ scaleDtype }: QuantizationArgs, dtype: FloatDType): ScaleRounding {
  switch (scaleDtype) {
    case "torch.float8_e4m3fn":
      return { round: roundToFloat8, zero: 0.125 };
    case "torch.uint8":
      return { round: rounder(dtype), zero: 1 };
    case "torch.float32":
      return { round: rounder("F32"), zero: ZERO_SCALE.F32 };
    case "torch.bfloat16":
      return { round: rounder("BF16"), zero: ZERO_SCALE.BF16 };
    case "torch.float16":
      return { round: rounder("F16"), zero: ZERO_SCALE.F16 };
    default:
      return { round: rounder(dtype), zero: ZERO_SCALE[dtype] };
  }
}

function roundToFloat8(scale: number): number {
  const [word] = new Uint32Array(Float32Array.of(Math.min(scale, 448)).buffer);
  return FLOAT8_VALUES[encodeFloat8(word)];
}

function asymmetric(range: Range, args: QuantizationArgs, dtype: FloatDType): QParams {
  const [{ min, max }, rd] = [codeTypeOf(args), rounder(dtype)];
  const scale = Tensor.zeros("F32", range.min.shape);
  const zeroPoint = Tensor.zeros(zeroPointDType(args), range.min.shape);
  const isCode = zeroPoint.dtype === "I8";
  for (let i = 0; i < scale.data.length; i++) {
    const lo = Math.min(range.min.data[i], 0);
    const hi = Math.max(range.max.data[i], 0);
    const step = rd(rd(hi - lo) / (max - min));
    const zero = step === 0 ? 0 : Math.min(Math.max(rd(min - rd(lo / step)), min), max);
    scale.data[i] = step === 0 ? ZERO_SCALE[dtype] : step;
    zeroPoint.data[i] = isCode ? roundHalfToEven(zero) : zero;
  }
  return { scale: fromFloat32(scale, dtype), zeroPoint };
}
