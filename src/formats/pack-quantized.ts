import type { TensorSpec } from "../checkpoint/layout.ts";
import { RecipeError } from "../errors.ts";
import { type QuantizationArgs, zeroPointDType } from "../schemes/arguments.ts";
import { dequantizeWeight, type QuantizedWeight } from "../schemes/quantize.ts";
import { type MatrixShape, scaleShape } from "../schemes/tiling.ts";
import { Tensor } from "../tensor/tensor.ts";
import { transpose } from "../tensor/transpose.ts";
import { dequantizeByColumn, groupOfColumns } from "./column-groups.ts";
import type { Format } from "./format.ts";
import { detectPacking, type Packing, packRows, unpackRows, wordCount } from "./int32-packing.ts";
import { expectFloat, expectTensor } from "./stored-tensor.ts";

/** Integer codes of 1 to 8 bits, packed along the columns into 32-bit words; zero points are packed along the rows. */
export const packQuantized: Format = {
  name: "pack-quantized",
  tensors(name, shape, dtype, args) {
    const scale = scaleShape(args, shape, name);
    if (zeroPointDType(args) !== "I8")
      throw new RecipeError(`${name}: zp_dtype ${args.zpDtype}, expected integers for pack-quantized. Remove one.`);
    const specs: TensorSpec[] = [
      { name: `${name}.weight_packed`, dtype: "I32", shape: [shape[0], wordCount(shape[1], args.numBits)] },
      { name: `${name}.weight_scale`, dtype, shape: scale },
      { name: `${name}.weight_shape`, dtype: "I64", shape: [2] },
    ];
    return args.symmetric ? specs : [...specs, zeroPointSpec(`${name}.weight_zero_point`, scale, args)];
  },
  compress(name, { codes, scale, zeroPoint, args }) {
    const tensors = new Map<string, Tensor>([
      [`${name}.weight_packed`, packMatrix(codes as Tensor<"I8">, args.numBits)],
      [`${name}.weight_scale`, scale],
      [`${name}.weight_shape`, new Tensor("I64", [2], BigInt64Array.from(codes.shape, BigInt))],
    ]);
    if (zeroPoint) tensors.set(`${name}.weight_zero_point`, packZeroPoint(zeroPoint as Tensor<"I8">, args));
    return tensors;
  },
  restore(name, tensors, args): QuantizedWeight {
    const packed = expectTensor(tensors, `${name}.weight_packed`, "I32");
    const scale = expectFloat(tensors, `${name}.weight_scale`);
    const [rows, columns] = Array.from(expectTensor(tensors, `${name}.weight_shape`, "I64").data, Number);
    const packing = detectPacking(columns, args.numBits, packed.shape[1], `${name}.weight_packed`);
    const codes = new Tensor("I8", [rows, columns], unpackRows(packed.data, [rows, columns], args.numBits, packing));
    if (args.symmetric) return { codes, scale, args };
    const zeroPoint = restoreZeroPoint(`${name}.weight_zero_point`, tensors, args, [rows, scale.shape[1]], packing);
    return { codes, scale, zeroPoint, args };
  },
  optional: (name) => [`${name}.weight_g_idx`],
  decompress(name, tensors, args) {
    const quantized = packQuantized.restore(name, tensors, args);
    const groups = groupOfColumns(name, tensors);
    return groups ? dequantizeByColumn(quantized, groups) : dequantizeWeight(quantized, name);
  },
};

/** One zero point for the whole weight is stored as it is. */
const packsZeroPoint = ({ strategy }: QuantizationArgs) => strategy !== "tensor";

function zeroPointSpec(name: string, scale: readonly number[], args: QuantizationArgs): TensorSpec {
  if (!packsZeroPoint(args)) return { name, dtype: "I8", shape: scale };
  return { name, dtype: "I32", shape: [wordCount(scale[0], args.numBits), scale[1]] };
}

function packZeroPoint(zeroPoint: Tensor<"I8">, args: QuantizationArgs): Tensor {
  return packsZeroPoint(args) ? transpose(packMatrix(transpose(zeroPoint), args.numBits)) : zeroPoint;
}

function restoreZeroPoint(
  name: string,
  tensors: ReadonlyMap<string, Tensor>,
  args: QuantizationArgs,
  [rows, columns]: MatrixShape,
  packing: Packing,
): Tensor<"I8"> {
  if (!packsZeroPoint(args)) return expectTensor(tensors, name, "I8");
  const { data } = transpose(expectTensor(tensors, name, "I32", [wordCount(rows, args.numBits, packing), columns]));
  return transpose(new Tensor("I8", [columns, rows], unpackRows(data, [columns, rows], args.numBits, packing)));
}

function packMatrix(codes: Tensor<"I8">, bits: number): Tensor<"I32"> {
  const [rows, columns] = codes.shape;
  return new Tensor("I32", [rows, wordCount(columns, bits)], packRows(codes.data, [rows, columns], bits));
}
