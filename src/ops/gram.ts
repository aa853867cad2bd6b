import type { Operand } from "../fx/traceable.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import { int64 } from "./constants.ts";
import { onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/** Panels that a wide product is cut into: of their rows, what is right of the diagonal block is left out. */
const PANELS = 4;
/** Columns from which on leaving out is worth the copies of columns. */
const WIDE = 1024;

/**
 * Adds XᵀX of the last dimension, over all rows, to a total: the second moment that a Hessian is made of.
 * As it is symmetric, a panel of its rows is brought forward alone, and only up to its diagonal block: [rows, end].
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
    const [height, end] = panel.shape as readonly number[];
    const rows = onnx("Reshape", [x, int64(-1, width)]);
    const columns = (begin: number) =>
      begin === 0 && end === width ? rows : onnx("Slice", [rows, int64(begin), int64(end), int64(1)]);
    return onnx("Gemm", [columns(end - height), columns(0), total], { transA: 1 });
  },
});

/** Shapes of the panels of a product of `width` columns: rows in equal shares, columns up to the last of the rows. */
export function gramPanels(width: number): [rows: number, end: number][] {
  if (width < WIDE || width % PANELS !== 0) return [[width, width]];
  const rows = width / PANELS;
  return Array.from({ length: PANELS }, (_, panel) => [rows, (panel + 1) * rows]);
}

/** The whole symmetric matrix from its panels: [columns, columns]. */
export function assembleGram(panels: readonly Tensor<"F32">[]): Tensor<"F32"> {
  if (panels.length === 1) return panels[0];
  const width = panels[panels.length - 1].shape[1];
  const matrix = Tensor.zeros("F32", [width, width]);
  for (const { data, shape } of panels) {
    const [rows, end] = shape;
    for (let row = 0; row < rows; row++) {
      matrix.data.set(data.subarray(row * end, (row + 1) * end), (end - rows + row) * width);
    }
  }
  mirrorLower(matrix.data, width);
  return matrix;
}

/** Side of the squares in which a matrix is transposed, so that they stay in the cache. */
const TILE = 64;

function mirrorLower(data: Float32Array, width: number): void {
  for (let top = 0; top < width; top += TILE) {
    for (let left = 0; left <= top; left += TILE) {
      for (let row = top; row < Math.min(top + TILE, width); row++) {
        for (let column = left; column < Math.min(left + TILE, row); column++) {
          data[column * width + row] = data[row * width + column];
        }
      }
    }
  }
}
