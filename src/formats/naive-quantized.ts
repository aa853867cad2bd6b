import type { TensorSpec } from "../checkpoint/layout.ts";
import { zeroPointDType } from "../schemes/arguments.ts";
import { codeTypeOf } from "../schemes/code-type.ts";
import { dequantizeWeight } from "../schemes/quantize.ts";
import type { FormatName } from "../schemes/scheme.ts";
import { scaleShape } from "../schemes/tiling.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Format } from "./format.ts";
import { expectFloat, expectTensor } from "./stored-tensor.ts";

/** Integer codes with quantized inputs, or with zero points in float32: one byte each, whatever the bits. */
export const intQuantized: Format = unpacked("int-quantized");
/** Float8 codes with quantized inputs. */
export const floatQuantized: Format = unpacked("float-quantized");
/** What no other format is for: float8 codes with inputs as they are. */
export const naiveQuantized: Format = unpacked("naive-quantized");

/** Codes under the name of the weight, one a byte; scales in the dtype of the dense weight. */
function unpacked(format: FormatName): Format {
  return {
    name: format,
    tensors(name, shape, dtype, args) {
      const scale = scaleShape(args, shape, name);
      const specs: TensorSpec[] = [
        { name: `${name}.weight`, dtype: codeTypeOf(args).dtype, shape },
        { name: `${name}.weight_scale`, dtype, shape: scale },
      ];
      if (args.symmetric) return specs;
      return [...specs, { name: `${name}.weight_zero_point`, dtype: zeroPointDType(args), shape: scale }];
    },
    compress(name, { codes, scale, zeroPoint }) {
      const tensors = new Map<string, Tensor>([
        [`${name}.weight`, codes],
        [`${name}.weight_scale`, scale],
      ]);
      return zeroPoint ? tensors.set(`${name}.weight_zero_point`, zeroPoint) : tensors;
    },
    restore(name, tensors, args) {
      const codes = expectTensor(tensors, `${name}.weight`, codeTypeOf(args).dtype);
      const scale = expectFloat(tensors, `${name}.weight_scale`);
      if (args.symmetric) return { codes, scale, args };
      return {
        codes,
        scale,
        zeroPoint: expectTensor(tensors, `${name}.weight_zero_point`, zeroPointDType(args)),
        args,
      };
    },
    decompress(name, tensors, args) {
      return dequantizeWeight(this.restore(name, tensors, args), name);
    },
  };
}
