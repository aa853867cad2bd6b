import { ShapeError } from "../errors.ts";
import { bfloat16ToFloat32, encodeBfloat16, float32ToBfloat16 } from "./bfloat16.ts";
import { Buffers } from "./buffers.ts";
import { allocate, byteSize, type DataOf, type DType, type FloatDType, viewBytes } from "./dtype.ts";
import { decodeFloat16, encodeFloat16, float16ToFloat32, float32ToFloat16 } from "./float16.ts";
import { Tensor } from "./tensor.ts";

/** The dtypes that weights come in, all of which convert to and from F32. */
const FLOAT_DTYPES: readonly string[] = ["F32", "F16", "BF16"] satisfies FloatDType[];

/** Whether a dtype is one of those that weights come in. */
export function isFloatDType(dtype: DType): dtype is FloatDType {
  return FLOAT_DTYPES.includes(dtype);
}

/** Whether a tensor's dtype is one of those that weights come in. */
export function isFloat(tensor: Tensor): tensor is Tensor<FloatDType> {
  return isFloatDType(tensor.dtype);
}

/**
 * `tensor` in F32, exactly; the tensor itself if it is F32 already.
 *
 * @param buffers - gives the memory
 * @throws ShapeError for a dtype that is not float
 */
export function toFloat32(tensor: Tensor, buffers = new Buffers()): Tensor<"F32"> {
  if (tensor.is("F32")) return tensor;
  const isBfloat16 = tensor.is("BF16");
  if (isBfloat16 || tensor.is("F16")) {
    const result = buffers.take("F32", tensor.shape);
    (isBfloat16 ? bfloat16ToFloat32 : float16ToFloat32)(tensor.data as Uint16Array, result.data);
    return result;
  }
  throw new ShapeError(`tensor: dtype ${tensor.dtype}, expected one of ${FLOAT_DTYPES.join(", ")}.`);
}

/** The bytes at the end of an F32 tensor that its elements take in `dtype`: see {@link widenInPlace}. */
export function narrowEnd(tensor: Tensor<"F32">, dtype: FloatDType): Uint8Array {
  return tensor.bytes.subarray(tensor.byteLength - byteSize(dtype) * tensor.data.length);
}

/** Widens to F32, in place, what was put into the end of a tensor in `dtype`: from the beginning on, nothing is lost. */
export function widenInPlace(tensor: Tensor<"F32">, dtype: FloatDType): void {
  const bits = viewBytes(dtype, narrowEnd(tensor, dtype)) as Uint16Array;
  if (dtype === "BF16") bfloat16ToFloat32(bits, tensor.data);
  if (dtype === "F16") float16ToFloat32(bits, tensor.data);
}

/** `tensor` in `dtype`, rounded half to even; the tensor itself if it has that dtype already. */
export function fromFloat32<D extends FloatDType>(tensor: Tensor<"F32">, dtype: D): Tensor<D> {
  if (tensor.is(dtype)) return tensor;
  const bits = allocate(dtype, tensor.data.length) as Uint16Array;
  (dtype === "BF16" ? float32ToBfloat16 : float32ToFloat16)(tensor.data, bits);
  return new Tensor(dtype, tensor.shape, bits as DataOf<D>);
}

/** `tensor` with each value rounded to `dtype`, but still in F32; the tensor itself where bfloat16 changes none. */
export function roundToDType(tensor: Tensor<"F32">, dtype: FloatDType): Tensor<"F32"> {
  return dtype === "BF16" && isBfloat16(tensor) ? tensor : toFloat32(fromFloat32(tensor, dtype));
}

/** Whether all values are bfloat16 numbers. A plain loop, as it goes over whole weights. */
function isBfloat16({ data }: Tensor<"F32">): boolean {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < words.length; i++) if ((words[i] & 0xffff) !== 0) return false;
  return true;
}

/** Rounds the result of one double operation to `dtype`, by way of float32, half to even. */
export function rounder(dtype: FloatDType): (value: number) => number {
  if (dtype === "F32") return Math.fround;
  const single = new Float32Array(1);
  const word = new Uint32Array(single.buffer);
  if (dtype === "F16") {
    return (value) => {
      single[0] = value;
      return decodeFloat16(encodeFloat16(word[0]));
    };
  }
  return (value) => {
    single[0] = value;
    word[0] = encodeBfloat16(word[0]) << 16;
    return single[0];
  };
}
