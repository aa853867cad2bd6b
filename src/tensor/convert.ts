import { ShapeError } from "../errors.ts";
import { allocate, type DataOf, type FloatDType } from "./dtype.ts";
import { Tensor } from "./tensor.ts";

/** The float dtypes that convert to and from F32; anything else in a weight is an error of the caller. */
const FLOAT_DTYPES: ReadonlySet<string> = new Set<FloatDType>(["F32", "F16", "BF16"]);

export function isFloat(tensor: Tensor): tensor is Tensor<FloatDType> {
  return FLOAT_DTYPES.has(tensor.dtype);
}

/** `tensor` in F32, exactly; the tensor itself if it is F32 already. */
export function toFloat32(tensor: Tensor): Tensor<"F32"> {
  if (tensor.is("F32")) return tensor;
  if (tensor.is("BF16")) return new Tensor("F32", tensor.shape, bfloat16ToFloat32(tensor.data));
  if (tensor.is("F16")) return new Tensor("F32", tensor.shape, float16ToFloat32(tensor.data));
  throw new ShapeError(`tensor: dtype ${tensor.dtype}, expected one of ${[...FLOAT_DTYPES].join(", ")}.`);
}

/** `tensor` in `dtype`, rounded half to even; the tensor itself if it has that dtype already. */
export function fromFloat32<D extends FloatDType>(tensor: Tensor<"F32">, dtype: D): Tensor<D> {
  if (tensor.is(dtype)) return tensor as unknown as Tensor<D>;
  const data = allocate(dtype, tensor.data.length) as Uint16Array;
  const encode = dtype === "BF16" ? float32ToBfloat16 : float32ToFloat16;
  encode(tensor.data, data);
  return new Tensor(dtype, tensor.shape, data as DataOf<D>);
}
