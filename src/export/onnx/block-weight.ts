import { type OnnxInput, onnx } from "../../ops/onnx.ts";
import type { QuantizedWeight } from "../../schemes/quantize.ts";
import { fromFloat32 } from "../../tensor/convert.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { type BlockLayout, toBlocks } from "./block-codes.ts";
import type { ComputeDType } from "./dense-weight.ts";
import type { InitializerSpec, StoredWeight } from "./stored-weight.ts";

/**
 * A weight in blocks of integer codes, which are decoded where they multiply: MatMulNBits, and GatherBlockQuantized for a table.
 *
 * @param dtype - what is computed in, and what scales are stored in
 */
export function blockWeight(
  name: string,
  layout: BlockLayout,
  dtype: ComputeDType,
  quantized: () => Promise<QuantizedWeight>,
): StoredWeight {
  const { rows, columns, bits, block } = layout;
  const initializers = initializersOf(name, layout, dtype);
  const [codes, scales, zeroPoints]: OnnxInput[] = initializers.map((spec) => ({ value: spec.name }));
  return {
    initializers,
    async load() {
      const blocks = toBlocks(await quantized(), layout);
      const tensors: Tensor[] = [blocks.codes, fromFloat32(blocks.scales, dtype)];
      return blocks.zeroPoints ? [...tensors, blocks.zeroPoints] : tensors;
    },
    multiply: (x) =>
      onnx(
        "MatMulNBits",
        [x, codes, scales, zeroPoints ?? null],
        { K: columns, N: rows, bits, block_size: block },
        "com.microsoft",
      ),
    lookUp: (ids) =>
      onnx(
        "GatherBlockQuantized",
        [{ value: tableName(name) }, ids, scales, zeroPoints ?? null],
        { gather_axis: 0, quantize_axis: 1, bits, block_size: block },
        "com.microsoft",
      ),
  };
}

function initializersOf(name: string, layout: BlockLayout, dtype: ComputeDType): InitializerSpec[] {
  const { rows, bits, block, blocks, shifted } = layout;
  const bytes = (block * bits) / 8;
  const view = { name: tableName(name), shape: [rows, blocks * bytes] };
  const specs: InitializerSpec[] = [
    { name: `${name}.codes`, dtype: "U8", shape: [rows, blocks, bytes], view },
    { name: `${name}.scales`, dtype, shape: [rows, blocks] },
  ];
  if (!shifted) return specs;
  return [...specs, { name: `${name}.zero_points`, dtype: "U8", shape: [rows, Math.ceil((blocks * bits) / 8)] }];
}

function tableName(name: string): string {
  return `${name}.table`;
}
