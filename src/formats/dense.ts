import type { TensorSpec } from "../checkpoint/layout.ts";
import { zeroPointDType } from "../schemes/arguments.ts";
import type { QParams } from "../schemes/qparams.ts";
import { dequantizeWeight, quantizeWeight } from "../schemes/quantize.ts";
import { scaleShape } from "../schemes/tiling.ts";
import { fromFloat32, toFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Format } from "./format.ts";
import { expectFloat, expectTensor } from "./stored-tensor.ts";

/** The rounded weight itself, beside its scales and, as in the reference, zero points whether they are zero or not. */
export const dense: Format = {
  name: "dense",
  tensors(name, shape, dtype, args) {
    const scale = scaleShape(args, shape, name);
    const specs: TensorSpec[] = [
      { name: `${name}.weight`, dtype, shape },
      { name: `${name}.weight_scale`, dtype, shape: scale },
    ];
    if (args.type === "int")
      specs.push({ name: `${name}.weight_zero_point`, dtype: zeroPointDType(args), shape: scale });
    if (args.strategy === "tensor_group") specs.push({ name: `${name}.weight_global_scale`, dtype: "F32", shape: [1] });
    return specs;
  },
  compress(name, quantized) {
    const { scale, zeroPoint, globalScale, args } = quantized;
    const tensors = new Map<string, Tensor>([
      [`${name}.weight`, fromFloat32(dequantizeWeight(quantized, name), scale.dtype)],
      [`${name}.weight_scale`, scale],
    ]);
    if (args.type === "int") tensors.set(`${name}.weight_zero_point`, zeroPoint ?? Tensor.zeros("I8", scale.shape));
    return globalScale ? tensors.set(`${name}.weight_global_scale`, globalScale) : tensors;
  },
  restore(name, tensors, args) {
    const qparams: QParams = {
      scale: expectFloat(tensors, `${name}.weight_scale`),
      ...(!args.symmetric && { zeroPoint: expectTensor(tensors, `${name}.weight_zero_point`, zeroPointDType(args)) }),
      ...(args.strategy === "tensor_group" && {
        globalScale: expectTensor(tensors, `${name}.weight_global_scale`, "F32", [1]),
      }),
    };
    return quantizeWeight(expectFloat(tensors, `${name}.weight`), qparams, args, name);
  },
  decompress: (name, tensors) => toFloat32(expectFloat(tensors, `${name}.weight`)),
};
