import type { Operand } from "../fx/traceable.ts";
import type { Buffers } from "../tensor/buffers.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import { int64 } from "./constants.ts";
import { onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/** Columns of a block, at the least: narrower ones leave out more below their diagonal, but multiply more slowly. */
const BLOCK_WIDTH = 288;
/** Blocks along a side, at the most: nearly half of the product is left out then. */
const MOST_BLOCKS = 8;

/**
 * Adds XᵀX of the last dimension, over all rows, to a total: the second moment that a Hessian is made of.
 * As it is symmetric, only square blocks on and above its diagonal are brought forward, each by itself.
 */
export const accumulateGram = defineOp<[x: Operand, total: Operand], { block: number }>({
  name: "accumulate_gram",
  infer([x, total]) {
    const width = x.shape.at(-1);
    if (typeof width !== "number") throw mismatch("accumulate_gram", x, "a last dimension of fixed size");
    const side = width / gramBlocks(width);
    if (String(total.shape) !== `${side},${side}`) throw mismatch("accumulate_gram", total, `shape [${side}, ${side}]`);
    return total;
  },
  cost: ([x, total]) => ({ multiplyAdds: (elementCount(x) / (x.at(-1) as number)) * elementCount(total) }),
  lower([x, total], { block }, [{ shape }]) {
    const width = shape.at(-1) as number;
    const blocks = gramBlocks(width);
    const side = width / blocks;
    // Transposed once for all blocks, which ONNX Runtime merges; a block of rows lies in one piece.
    const columns = onnx("Transpose", [onnx("Reshape", [x, int64(-1, width)])], { perm: [1, 0] });
    const rowsOf = (index: number) =>
      blocks === 1 ? columns : onnx("Slice", [columns, int64(index * side), int64((index + 1) * side), int64(0)]);
    const { row, column } = placesOf(blocks)[block];
    return onnx("Gemm", [rowsOf(row), rowsOf(column), total], { transB: 1 });
  },
});

/** Blocks along a side of XᵀX of `width` columns. */
function gramBlocks(width: number): number {
  let blocks = Math.max(1, Math.min(MOST_BLOCKS, Math.floor(width / BLOCK_WIDTH)));
  while (width % blocks !== 0) blocks--;
  return blocks;
}

/** The blocks on and above the diagonal, row by row. */
function placesOf(blocks: number): { readonly row: number; readonly column: number }[] {
  return Array.from({ length: blocks }, (_, row) =>
    Array.from({ length: blocks - row }, (_, after) => ({ row, column: row + after })),
  ).flat();
}

/**
 * Totals of zeros for {@link accumulateGram}, one for each block. They lie one after another at the end of the memory that the
 * whole matrix is going to take, so that there are never both.
 */
export function zeroGram(width: number, buffers: Buffers): Tensor<"F32">[] {
  const { data } = buffers.takeZeros("F32", [width, width]);
  const blocks = gramBlocks(width);
  const side = width / blocks;
  const places = placesOf(blocks);
  return places.map((_, index) => {
    const end = data.length - (places.length - 1 - index) * side * side;
    return new Tensor("F32", [side, side], data.subarray(end - side * side, end));
  });
}

/** The whole symmetric matrix from its blocks, as {@link zeroGram} gave them, in the same memory: [columns, columns]. */
export function assembleGram(totals: readonly Tensor<"F32">[]): Tensor<"F32"> {
  if (totals.length === 1) return totals[0];
  const [side] = totals[0].shape;
  const blocks = (Math.sqrt(8 * totals.length + 1) - 1) / 2;
  const width = blocks * side;
  const data = new Float32Array(totals[0].data.buffer as ArrayBuffer);
  for (let row = 0, first = 0; row < blocks; first += blocks - row, row++) {
    // A row of blocks moves to lower places, and is over before the blocks of the next begin.
    moveRows(totals.slice(first, first + blocks - row), data.subarray(row * side * width + row * side), width);
  }
  mirrorUpper(data, width);
  return new Tensor("F32", [width, width], data);
}

/** Lays blocks side by side in a matrix of rows of `width`, one row of all blocks after another. */
function moveRows(blocks: readonly Tensor<"F32">[], target: Float32Array, width: number): void {
  const [side] = blocks[0].shape;
  for (let row = 0; row < side; row++) {
    for (const [index, { data }] of blocks.entries()) {
      target.set(data.subarray(row * side, (row + 1) * side), row * width + index * side);
    }
  }
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
