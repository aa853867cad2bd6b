import type { Operand } from "../fx/traceable.ts";
import { f32, type TensorType } from "../fx/types.ts";
import { int64, ONNX_TYPE, scalar } from "./constants.ts";
import { type OnnxExpression, type OnnxInput, type OnnxValue, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";
import { sequencesOf } from "./statistics.ts";

/** How an activation is rounded, as plain data. */
export interface ActivationRounding {
  /** Whether codes are E4M3FN (8 bits) or E2M1 (4 bits), else integers. */
  readonly float: boolean;
  /** Bits of one code. */
  readonly numBits: number;
  /** Whether zero is code 0; otherwise every scale has a zero point. */
  readonly symmetric: boolean;
  /** Columns that share a scale; null for all, or for all of one head. */
  readonly groupSize: number | null;
  /** Heads of so many columns each; 1 where there are none. */
  readonly heads: number;
  /** Whether all tokens share a scale too. */
  readonly acrossTokens: boolean;
  /** Whether scales are powers of two. */
  readonly microscaling: boolean;
}

type Attributes = { readonly [Field in keyof ActivationRounding]: ActivationRounding[Field] };

/** x, rounded to codes and back, with one scale, or one for each group of columns. */
export const quantizeStatic = defineOp<[x: Operand, scale: Operand], Attributes>({
  name: "quantize_static",
  infer: ([x], attrs) => checkGroups("quantize_static", x, attrs),
  lower: ([x, scale], attrs, [type, scaleType]) =>
    rounded(x, type, attrs, () => ({ scale: perGroup(scale, scaleType) })),
});

/** As {@link quantizeStatic}, with a zero point beside each scale. */
export const quantizeStaticShifted = defineOp<[x: Operand, scale: Operand, zeroPoint: Operand], Attributes>({
  name: "quantize_static_shifted",
  infer: ([x], attrs) => checkGroups("quantize_static_shifted", x, attrs),
  lower: ([x, scale, zeroPoint], attrs, [type, scaleType]) =>
    rounded(x, type, attrs, () => ({
      scale: perGroup(scale, scaleType),
      zeroPoint: perGroup(zeroPoint, scaleType),
    })),
});

/** x, rounded to codes and back, with scales (and zero points) from its own minima and maxima. */
export const quantizeDynamic = defineOp<[x: Operand], Attributes>({
  name: "quantize_dynamic",
  infer: ([x], attrs) => checkGroups("quantize_dynamic", x, attrs),
  lower: ([x], attrs, [type]) => rounded(x, type, attrs, (grouped) => dynamicQParams(grouped, attrs)),
});

/** x, rounded to codes and back, with scales from its own maxima, rounded to float8 below one that is known. */
export const quantizeLocal = defineOp<[x: Operand, globalScale: Operand], Attributes>({
  name: "quantize_local",
  infer: ([x], attrs) => checkGroups("quantize_local", x, attrs),
  lower: ([x, globalScale], attrs, [type]) =>
    rounded(x, type, attrs, (grouped) => ({ scale: localScale(grouped, globalScale, attrs) })),
});

/**
 * How well each sequence of x would survive rounding in ranges around its own: minimum and maximum, times `expand`, then for
 * each of `factors` of that range Σ |Q(x) − x|^norm. [sequences, 2 + factors, heads].
 */
export const rangeErrors = defineOp<
  [x: Operand],
  Attributes & { readonly expand: number; readonly factors: readonly number[]; readonly norm: number }
>({
  name: "range_errors",
  infer([x], attrs) {
    checkGroups("range_errors", x, attrs);
    return f32(x.shape.length === 3 ? x.shape[0] : 1, 2 + attrs.factors.length, attrs.heads);
  },
  lower([x], attrs, [type]) {
    const grouped = sequencesOf(x, type, attrs.heads);
    const over = (opType: string, value: OnnxInput) => onnx(opType, [value, int64(1, 3)], { keepdims: 1 });
    const scaled = (value: OnnxExpression, factor: number) => onnx("Mul", [value, float32(factor)]);
    const [min, max] = ["ReduceMin", "ReduceMax"].map((opType) => scaled(over(opType, grouped), attrs.expand));
    const errors = attrs.factors.map((factor) => {
      const rounding = qparamsOf(scaled(min, factor), scaled(max, factor), attrs);
      const difference = onnx("Abs", [onnx("Sub", [roundThere(grouped, rounding, attrs), grouped])]);
      return over("ReduceSum", onnx("Pow", [difference, float32(attrs.norm)]));
    });
    const lines = [min, max, ...errors].map((value) => onnx("Squeeze", [value, int64(3)])); // [sequences, 1, heads]
    return onnx("Concat", lines, { axis: 1 });
  },
});

interface Scales {
  readonly scale: OnnxInput;
  /** Left out for zero. */
  readonly zeroPoint?: OnnxInput;
}

function checkGroups(op: string, x: TensorType, { groupSize, heads }: ActivationRounding): TensorType {
  const width = x.shape.at(-1);
  if (typeof width !== "number") throw mismatch(op, x, "a last dimension of fixed size");
  if (groupSize !== null && width % groupSize !== 0) throw mismatch(op, x, `columns in groups of ${groupSize}`);
  if (width % heads !== 0) throw mismatch(op, x, `columns of ${heads} heads`);
  return x;
}

/** A column of values, one for each group; one value for all stays as it is. */
function perGroup(value: OnnxValue, { shape }: TensorType): OnnxInput {
  return shape.length > 1 ? onnx("Reshape", [value, int64(-1, 1)]) : value;
}

/** (round(clamp(x / scale + zeroPoint)) − zeroPoint) · scale. */
function rounded(
  x: OnnxValue,
  { shape }: TensorType,
  attrs: ActivationRounding,
  scalesOf: (grouped: OnnxInput) => Scales,
): OnnxExpression {
  const width = shape.at(-1) as number;
  const size = attrs.groupSize ?? width / attrs.heads;
  const reshape = (value: OnnxInput, ...last: number[]) =>
    onnx("Reshape", [value, int64(...shape.slice(0, -1).map(() => 0), ...last)]); // 0 keeps a size
  const grouped = size === width ? x : reshape(x, width / size, size);
  const result = roundThere(grouped, scalesOf(grouped), attrs);
  return size === width ? result : reshape(result, width);
}

function roundThere(x: OnnxInput, { scale, zeroPoint }: Scales, attrs: ActivationRounding): OnnxExpression {
  const scaled = onnx("Div", [x, scale]);
  const codes = roundToCodes(zeroPoint ? onnx("Add", [scaled, zeroPoint]) : scaled, attrs);
  return onnx("Mul", [zeroPoint ? onnx("Sub", [codes, zeroPoint]) : codes, scale]);
}

/** The smallest and the largest number of a code. */
function codeRange({ float, numBits }: ActivationRounding): [min: number, max: number] {
  if (!float) return [-(2 ** (numBits - 1)), 2 ** (numBits - 1) - 1];
  return numBits === 8 ? [-448, 448] : [-6, 6];
}

function roundToCodes(scaled: OnnxExpression, rounding: ActivationRounding): OnnxExpression {
  const [min, max] = codeRange(rounding);
  const clipped = onnx("Clip", [scaled, float32(min), float32(max)]);
  if (!rounding.float) return onnx("Round", [clipped]);
  return rounding.numBits === 8 ? roundToFloat8(clipped) : roundToFloat4(clipped);
}

function roundToFloat8(x: OnnxExpression): OnnxExpression {
  return onnx("Cast", [onnx("Cast", [x], { to: ONNX_TYPE.F8_E4M3 })], { to: ONNX_TYPE.F32 });
}

/** Steps of ½ below 2, of 1 below 4, of 2 up to 6; halves go to the even code, which is even in units of each step. */
function roundToFloat4(x: OnnxExpression): OnnxExpression {
  const magnitude = onnx("Abs", [x]);
  const inSteps = (step: number) => onnx("Mul", [onnx("Round", [onnx("Div", [x, float32(step)])]), float32(step)]);
  const below = (bound: number, inside: OnnxExpression, outside: OnnxExpression) =>
    onnx("Where", [onnx("Less", [magnitude, float32(bound)]), inside, outside]);
  return below(2, inSteps(0.5), below(4, inSteps(1), inSteps(2)));
}

function dynamicQParams(grouped: OnnxInput, attrs: ActivationRounding): Scales {
  return qparamsOf(reduce("ReduceMin", grouped, attrs), reduce("ReduceMax", grouped, attrs), attrs);
}

/** Scales from minima and maxima, in float32: see computeQParams in schemes/. */
function qparamsOf(minima: OnnxExpression, maxima: OnnxExpression, attrs: ActivationRounding): Scales {
  const [min, max] = codeRange(attrs);
  const lo = onnx("Min", [minima, float32(0)]);
  const hi = onnx("Max", [maxima, float32(0)]);
  const amax = onnx("Max", [onnx("Neg", [lo]), hi]);
  if (attrs.microscaling) return { scale: microscale(amax, attrs.numBits) };
  if (attrs.symmetric) return { scale: nonZero(onnx("Div", [amax, float32((max - min) / 2)]), 2 ** -23) };
  const scale = nonZero(onnx("Div", [onnx("Sub", [hi, lo]), float32(max - min)]), 2 ** -23);
  // a range of zeros has lo = 0 and so, by the scale that is not zero, the smallest code; the reference has code 0
  const zeroPoint = onnx("Sub", [float32(min), onnx("Div", [lo, scale])]);
  const clipped = onnx("Round", [onnx("Clip", [zeroPoint, float32(min), float32(max)])]);
  const empty = onnx("Equal", [onnx("Sub", [hi, lo]), float32(0)]);
  return { scale, zeroPoint: onnx("Where", [empty, float32(0), clipped]) };
}

/** amax, rounded to a power of two (up from 1.75 on), over the largest power of two of a code: see microscales in schemes/. */
function microscale(amax: OnnxExpression, numBits: number): OnnxExpression {
  const normal = onnx("Max", [amax, float32(2 ** -126)]);
  const estimate = onnx("Floor", [onnx("Mul", [onnx("Log", [normal]), float32(Math.LOG2E)])]);
  const power = (exponent: OnnxInput) => onnx("Pow", [float32(2), exponent]);
  const step = (condition: OnnxExpression) => onnx("Cast", [condition], { to: ONNX_TYPE.F32 });
  // the logarithm may be off by one where amax is close to a power of two
  const down = onnx("Sub", [estimate, step(onnx("Greater", [power(estimate), normal]))]);
  const exact = onnx("Add", [down, step(onnx("LessOrEqual", [onnx("Mul", [power(down), float32(2)]), normal]))]);
  const up = step(onnx("LessOrEqual", [onnx("Mul", [power(exact), float32(1.75)]), normal]));
  const exponent = onnx("Sub", [onnx("Add", [exact, up]), float32(numBits === 4 ? 2 : 8)]);
  return power(onnx("Clip", [exponent, float32(-127), float32(128)]));
}

function localScale(grouped: OnnxInput, globalScale: OnnxValue, attrs: ActivationRounding): OnnxExpression {
  const amax = reduce("ReduceMax", onnx("Abs", [grouped]), attrs);
  const wide = onnx("Mul", [globalScale, onnx("Div", [amax, float32(codeRange(attrs)[1])])]);
  const local = roundToFloat8(onnx("Clip", [wide, float32(-448), float32(448)]));
  return onnx("Div", [nonZero(local, 0.125), globalScale]);
}

/** Over a group of columns, all of them, or all there is. */
function reduce(opType: string, x: OnnxInput, { acrossTokens }: ActivationRounding): OnnxExpression {
  return acrossTokens ? onnx(opType, [x], { keepdims: 1 }) : onnx(opType, [x, int64(-1)], { keepdims: 1 });
}

function nonZero(scale: OnnxExpression, otherwise: number): OnnxExpression {
  return onnx("Where", [onnx("Equal", [scale, float32(0)]), float32(otherwise), scale]);
}

function float32(value: number): OnnxInput {
  return scalar("F32", value);
}
