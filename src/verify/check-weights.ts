import type { CompressedModule } from "../formats/bind-checkpoint.ts";
import { codeTypeOf } from "../schemes/code-type.ts";
import { dequantizeWeight, type QuantizedWeight } from "../schemes/quantize.ts";
import type { Buffers } from "../tensor/buffers.ts";
import { toFloat32 } from "../tensor/convert.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Problem, problem, problemOf } from "./problem.ts";

/**
 * Decodes the tensors of a compressed weight to codes and scales, and checks these.
 *
 * @param isZero - whether the weight is zero in the model that was compressed
 * @param buffers - what it is decoded in
 */
export async function checkCompressedWeight(
  { path, linear, format, args }: CompressedModule,
  tensors: ReadonlyMap<string, Tensor>,
  isZero: () => Promise<boolean>,
  buffers: Buffers,
): Promise<Problem[]> {
  const { shape } = linear.weight;
  const stated = tensors.get(`${path}.weight_shape`);
  if (stated && String(stated.data) !== String(shape))
    return [problem(path, `weight_shape [${stated.data.join(", ")}]`, `[${shape.join(", ")}]`)];
  let quantized: QuantizedWeight;
  try {
    quantized = format.restore(path, tensors, args);
  } catch (error) {
    return [problemOf(error)];
  }
  const isPacked = tensors.has(`${path}.weight_packed`);
  const problems = [
    ...checkScale(path, quantized),
    ...(isPacked ? [] : checkRanges(path, quantized)), // packed codes have no more bits than they may
    ...(hasSpareBits(quantized) ? checkSpareBits(path, tensors, format.compress(path, quantized)) : []),
  ];
  if (problems.length === 0 && decodesToZero(path, quantized, buffers) && !(await isZero()))
    problems.push(problem(path, "every weight decodes to zero", "some that are not"));
  return problems;
}

/** Whether codes or zero points do not fill the words that they are packed into. */
function hasSpareBits({ codes, scale, zeroPoint, args: { numBits } }: QuantizedWeight): boolean {
  const counts = zeroPoint ? [codes.shape[1], scale.shape[0]] : [codes.shape[1]];
  return counts.some((count) => (count * numBits) % 32 !== 0);
}

/** Bits beside packed codes are zeros, as when they are packed again. */
function checkSpareBits(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  packedAgain: ReadonlyMap<string, Tensor>,
): Problem[] {
  return [...packedAgain].flatMap(([name, again]) => {
    const isPacked = name.endsWith("_packed") || name.endsWith("_zero_point");
    if (!isPacked || Buffer.compare(again.bytes, tensors.get(name)?.bytes ?? again.bytes) === 0) return [];
    return [problem(path, `${name.slice(path.length + 1)} has bits set beside its codes`, "zeros there")];
  });
}

/** Scales are positive numbers. */
function checkScale(path: string, { scale, globalScale }: QuantizedWeight): Problem[] {
  return [scale, ...(globalScale ? [globalScale] : [])].flatMap((tensor) => {
    const { data } = toFloat32(tensor);
    const bad = data.findIndex((value) => !(value >= 0 && value < Number.POSITIVE_INFINITY));
    if (bad < 0) return [];
    const name = tensor === scale ? "weight_scale" : "weight_global_scale";
    return [problem(path, `${name} is ${data[bad]} at index ${bad}`, "a positive number")];
  });
}

/** Codes and zero points lie among the integers of as many bits as the scheme says. */
function checkRanges(path: string, { codes, zeroPoint, args }: QuantizedWeight): Problem[] {
  const { min, max, dtype } = codeTypeOf(args);
  if (dtype !== "I8") return [];
  return Object.entries({ code: codes, "zero point": zeroPoint }).flatMap(([what, tensor]) => {
    const data = tensor?.data as Int8Array | Float32Array | undefined;
    const bad = data ? firstOutside(data, min, max) : -1;
    return bad < 0 ? [] : [problem(path, `a ${what} of ${data?.[bad]} at index ${bad}`, `one from ${min} to ${max}`)];
  });
}

function firstOutside(values: Int8Array | Float32Array, min: number, max: number): number {
  if (min === -128 && values instanceof Int8Array) return -1;
  for (let i = 0; i < values.length; i++) if (!(values[i] >= min && values[i] <= max)) return i;
  return -1;
}

/** Signed codes with positive scales need no decoding to tell. */
function decodesToZero(path: string, quantized: QuantizedWeight, buffers: Buffers): boolean {
  const { codes, scale, zeroPoint, globalScale } = quantized;
  const isPlain = codes.dtype === "I8" && !zeroPoint && !globalScale && toFloat32(scale).data.every((one) => one > 0);
  if (isPlain) return codes.data.every((code) => code === 0);
  const weight = dequantizeWeight(quantized, path, buffers);
  const isZero = weight.data.every((value) => value === 0);
  buffers.give(weight);
  return isZero;
}
