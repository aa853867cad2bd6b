import { ShapeError } from "../errors.ts";
import { fromFloat32, rounder } from "../tensor/convert.ts";
import type { FloatDType } from "../tensor/dtype.ts";
import { roundHalfToEven } from "../tensor/rounding.ts";
import { Tensor } from "../tensor/tensor.ts";
import { integerRange, type QuantizationArgs } from "./arguments.ts";

/** The smallest and the largest element under each scale; both of the scale's shape. */
export interface Range {
  readonly min: Tensor<"F32">;
  readonly max: Tensor<"F32">;
}

/** What turns a weight into codes: `code = round(weight / scale + zeroPoint)`. */
export interface QParams {
  readonly scale: Tensor<FloatDType>;
  /** Absent where the arguments are symmetric. */
  readonly zeroPoint?: Tensor<"I8">;
}

/** What a scale of exactly 0 becomes, in the dtype it is stored in. */
const ZERO_SCALE: Readonly<Record<FloatDType, number>> = { F32: 2 ** -23, BF16: 2 ** -7, F16: 2 ** -10 };

/**
 * Scale and zero point of each range, computed in `dtype` with one rounding to it after every operation, as the
 * reference does: a BF16 weight gets BF16 scales, and codes that fit them.
 *
 * The range is widened to hold 0. Symmetric: scale = amax / ((max − min) / 2) of the codes, so ±amax maps to ±7.5 at
 * 4 bits. Asymmetric: scale = (hi − lo) / (max − min), zeroPoint = min − lo / scale.
 */
export function computeQParams({ min, max }: Range, args: QuantizationArgs, dtype: FloatDType): QParams {
  if (String(min.shape) !== String(max.shape)) {
    throw new ShapeError(
      `range: min has shape [${min.shape.join(", ")}], expected [${max.shape.join(", ")}] as max has.`,
    );
  }
  const scale = Tensor.zeros("F32", min.shape);
  const zeroPoint = Tensor.zeros("I8", min.shape);
  const compute = args.symmetric ? symmetric(args, dtype) : asymmetric(args, dtype);
  for (let index = 0; index < scale.data.length; index++) {
    const [step, zero] = compute(Math.min(min.data[index], 0), Math.max(max.data[index], 0));
    scale.data[index] = step === 0 ? ZERO_SCALE[dtype] : step;
    zeroPoint.data[index] = zero;
  }
  const rounded = fromFloat32(scale, dtype);
  return args.symmetric ? { scale: rounded } : { scale: rounded, zeroPoint };
}

/** Scale and zero point of the range from `lo` ≤ 0 to `hi` ≥ 0. */
type Compute = (lo: number, hi: number) => [scale: number, zeroPoint: number];

function symmetric(args: QuantizationArgs, dtype: FloatDType): Compute {
  const [{ min, max }, rd] = [integerRange(args), rounder(dtype)];
  return (lo, hi) => [rd(Math.max(-lo, hi) / ((max - min) / 2)), 0];
}

function asymmetric(args: QuantizationArgs, dtype: FloatDType): Compute {
  const [{ min, max }, rd] = [integerRange(args), rounder(dtype)];
  return (lo, hi) => {
    const scale = rd(rd(hi - lo) / (max - min));
    const zeroPoint = rd(min - rd(lo / scale)); // NaN for a range of zeros, which an Int8Array stores as 0
    return [scale, roundHalfToEven(Math.min(Math.max(zeroPoint, min), max))];
  };
}
