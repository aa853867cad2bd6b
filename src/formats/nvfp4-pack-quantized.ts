import { scaleShape } from "../schemes/tiling.ts";
import { toFloat32 } from "../tensor/convert.ts";
import { float8ToFloat32, float32ToFloat8 } from "../tensor/float8.ts";
import { Tensor } from "../tensor/tensor.ts";
import { decompressToBfloat16, packCodes, packedSpec, unpackCodes } from "./float4-codes.ts";
import type { Format } from "./format.ts";
import { expectTensor } from "./stored-tensor.ts";

/** Float4 codes, two a byte; a float8 scale for 16 columns of a row, a float32 one for all. */
export const nvfp4PackQuantized: Format = {
  name: "nvfp4-pack-quantized",
  tensors: (name, shape, _, args) => [
    packedSpec(name, shape),
    { name: `${name}.weight_scale`, dtype: "F8_E4M3", shape: scaleShape(args, shape, name) },
    { name: `${name}.weight_global_scale`, dtype: "F32", shape: [1] },
  ],
  compress(name, { codes, scale, globalScale }) {
    const stored = Tensor.zeros("F8_E4M3", scale.shape);
    float32ToFloat8(toFloat32(scale).data, stored.data); // exact: the scale was rounded to float8
    const tensors = packCodes(name, codes).set(`${name}.weight_scale`, stored);
    return globalScale ? tensors.set(`${name}.weight_global_scale`, globalScale) : tensors;
  },
  restore(name, tensors, args) {
    const { shape, data } = expectTensor(tensors, `${name}.weight_scale`, "F8_E4M3");
    return {
      codes: unpackCodes(name, tensors),
      scale: new Tensor("F32", shape, float8ToFloat32(data)),
      globalScale: expectTensor(tensors, `${name}.weight_global_scale`, "F32", [1]),
      args,
    };
  },
  decompress: (name, tensors, args) => decompressToBfloat16(nvfp4PackQuantized, name, tensors, args),
};
