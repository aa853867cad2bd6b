import type { TensorSpec } from "../checkpoint/layout.ts";
import { packBits } from "../kernels/pack-bits.ts";
import type { QuantizationArgs } from "../schemes/arguments.ts";
import { dequantizeWeight } from "../schemes/quantize.ts";
import { fromFloat32, toFloat32 } from "../tensor/convert.ts";
import { unpackFloat4 } from "../tensor/float4.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { Format } from "./format.ts";
import { expectTensor } from "./stored-tensor.ts";

/** What float4 codes of this shape are stored as. */
export function packedSpec(name: string, [rows, columns]: readonly number[]): TensorSpec {
  return { name: `${name}.weight_packed`, dtype: "U8", shape: [rows, columns / 2] };
}

/** Codes as they are stored, by full name. */
export function packCodes(name: string, { shape: [rows, columns], data }: Tensor): Map<string, Tensor> {
  return new Map([
    [`${name}.weight_packed`, new Tensor("U8", [rows, columns / 2], packFloat4(data as Uint8Array, [rows, columns]))],
  ]);
}

/** Codes two a byte, the first in the low half. There is an even number of them in each row. */
function packFloat4(codes: Uint8Array, [rows, columns]: readonly number[]): Uint8Array<ArrayBuffer> {
  const packed = new Uint8Array((rows * columns) / 2);
  packBits(codes, [rows, columns], 4, 0, packed);
  return packed;
}

/** The codes that {@link packCodes} stored. */
export function unpackCodes(name: string, tensors: ReadonlyMap<string, Tensor>): Tensor<"U8"> {
  const { shape, data } = expectTensor(tensors, `${name}.weight_packed`, "U8");
  return new Tensor("U8", [shape[0], 2 * shape[1]], unpackFloat4(data));
}

/** Readers decode these formats to BF16, whatever the model's dtype is. */
export function decompressToBfloat16(
  format: Format,
  name: string,
  tensors: ReadonlyMap<string, Tensor>,
  args: QuantizationArgs,
): Tensor<"F32"> {
  return toFloat32(fromFloat32(dequantizeWeight(format.restore(name, tensors, args), name), "BF16"));
}
