import type { TensorSpec } from "../checkpoint/layout.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { decodeExponents, encodeExponents } from "../schemes/microscaling.ts";
import { scaleShape } from "../schemes/tiling.ts";
import { toFloat32 } from "../tensor/convert.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { decompressToBfloat16, packCodes, packedSpec, unpackCodes } from "./float4-codes.ts";
import type { Format } from "./format.ts";
import { expectTensor } from "./stored-tensor.ts";

/** Float4 codes, two a byte; the exponent of a power of two for 32 columns of a row. */
export const mxfp4PackQuantized: Format = {
  name: "mxfp4-pack-quantized",
  tensors: (name, shape, _, args) => [packedSpec(name, shape), exponentsSpec(name, shape, args)],
  compress: (name, { codes, scale }) => packCodes(name, codes).set(`${name}.weight_scale`, exponentsOf(scale)),
  restore: (name, tensors, args) => ({
    codes: unpackCodes(name, tensors),
    scale: restoreExponents(name, tensors),
    args,
  }),
  decompress: (name, tensors, args) => decompressToBfloat16(mxfp4PackQuantized, name, tensors, args),
};

/** Float8 codes; the exponent of a power of two for 32 columns of a row. */
export const mxfp8Quantized: Format = {
  name: "mxfp8-quantized",
  tensors: (name, shape, _, args) => [
    { name: `${name}.weight`, dtype: "F8_E4M3", shape },
    exponentsSpec(name, shape, args),
  ],
  compress: (name, { codes, scale }) =>
    new Map<string, Tensor>([
      [`${name}.weight`, codes],
      [`${name}.weight_scale`, exponentsOf(scale)],
    ]),
  restore: (name, tensors, args) => ({
    codes: expectTensor(tensors, `${name}.weight`, "F8_E4M3"),
    scale: restoreExponents(name, tensors),
    args,
  }),
  decompress: (name, tensors, args) => decompressToBfloat16(mxfp8Quantized, name, tensors, args),
};

function exponentsSpec(name: string, shape: readonly number[], args: QuantizationArgs): TensorSpec {
  return { name: `${name}.weight_scale`, dtype: "U8", shape: scaleShape(args, shape, name) };
}

function exponentsOf(scale: Tensor): Tensor<"U8"> {
  return encodeExponents(toFloat32(scale));
}

function restoreExponents(name: string, tensors: ReadonlyMap<string, Tensor>): Tensor<"F32"> {
  return decodeExponents(expectTensor(tensors, `${name}.weight_scale`, "U8"));
}
