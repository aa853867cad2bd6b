import type { Operand } from "../fx/traceable.ts";
import type { Buffers } from "../tensor/buffers.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import { int64 } from "./constants.ts";
import { type OnnxExpression, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/** Columns of a panel, at the least: narrower ones leave out more below their diagonal blocks, but multiply more slowly. */
const PANEL_WIDTH = 256;
/** Panels at the most: nearly half of the product is left out then. */
const MOST_PANELS = 8;

/**
 * Adds XᵀX of the last dimension, over all rows, to a total: the second moment that a Hessian is made of.
 * As it is symmetric, a panel of its columns is brought forward alone, and only down to its diagonal block: [end, columns].
 */
export const accumulateGram = defineOp<[x: Operand, total: Operand], { panel: number }>({
  name: "accumulate_gram",
  infer([x, total], { panel }) {
    const width = x.shape.at(-1);
    if (typeof width !== "number") throw mismatch("accumulate_gram", x, "a last dimension of fixed size");
    const shape = gramPanels(width)[panel];
    if (String(total.shape) !== String(shape)) throw mismatch("accumulate_gram", total, `shape [${shape.join(", ")}]`);
    return total;
  },
  cost: ([x, total]) => ({ multiplyAdds: (elementCount(x) / (x.at(-1) as number)) * elementCount(total) }),
  lower([x, total], _, [{ shape }, panel]) {
    const width = shape.at(-1) as number;
    const [end, size] = panel.shape as readonly number[];
    const rows = onnx("Reshape", [x, int64(-1, width)]);
    const slice = (of: OnnxExpression, begin: number, axis: number) =>
      begin === 0 && end === width ? of : onnx("Slice", [of, int64(begin), int64(end), int64(axis)]);
    // Transposed here, once for all panels: Gemm's transA would do it for every few columns of the result anew.
    const columns = onnx("Transpose", [rows], { perm: [1, 0] });
    // The longer side first, along which ONNX Runtime shares rows out over threads without a change of any sum.
    return onnx("Gemm", [slice(columns, 0, 0), slice(rows, end - size, 1), total]);
  },
});

/** Shapes of the panels of a product of `width` columns: columns in equal shares, rows up to the last of the columns. */
export function gramPanels(width: number): [end: number, columns: number][] {
  let panels = Math.max(1, Math.min(MOST_PANELS, Math.floor(width / PANEL_WIDTH)));
  while (width % panels !== 0) panels--;
  const columns = width / panels;
  return Array.from({ length: panels }, (_, panel) => [(panel + 1) * columns, columns]);
}

/**
 * Totals of zeros for {@link accumulateGram}, one for each panel. They lie one after another at the end of the memory that the
 * whole matrix is going to take, so that there are never both.
 */
export function zeroGram(width: number, buffers: Buffers): Tensor<"F32">[] {
  const { data } = buffers.takeZeros("F32", [width, width]);
  const shapes = gramPanels(width);
  let end = data.length - shapes.reduce((sum, shape) => sum + elementCount(shape), 0);
  return shapes.map((shape) => {
    const begin = end;
    end += elementCount(shape);
    return new Tensor("F32", shape, data.subarray(begin, end));
  });
}

/** The whole symmetric matrix from its panels, as {@link zeroGram} gave them, in the same memory: [columns, columns]. */
export function assembleGram(panels: readonly Tensor<"F32">[]): Tensor<"F32"> {
  if (panels.length === 1) return panels[0];
  const width = panels[panels.length - 1].shape[0];
  const data = new Float32Array(panels[0].data.buffer as ArrayBuffer);
  // No row moves to a higher place, and so none to that of a row that is still to be moved.
  for (const panel of panels) {
    const [end, columns] = panel.shape;
    let from = panel.data.byteOffset / data.BYTES_PER_ELEMENT;
    for (let row = 0; row < end; row++, from += columns) {
      data.copyWithin(row * width + end - columns, from, from + columns);
    }
  }
  mirrorUpper(data, width);
  return new Tensor("F32", [width, width], data);
}

/** Side of the squares in which a matrix is transposed, so that they stay in the cache. */
const TILE = 64;

function mirrorUpper(data: Float32Array, width: number): void {
  for (let top = 0; top < width; top += TILE) {
    for (let left = 0; left <= top; left += TILE) {
      for (let row = top; row < Math.min(top + TILE, width); row++) {
        for (let column = left; column < Math.min(left + TILE, row); column++) {
          data[row * width + column] = data[column * width + row];
        }
      }
    }
  }
}
