import type { Tensor } from "../tensor/tensor.ts";
import type { KernelContext } from "./cholesky.ts";
import { columnsOf, type LowerPanels, transposeBlock } from "./lower-panels.ts";
import { rowsOf } from "./matrix-products.ts";
import { ROWS, sharesOfRows, takeScratch } from "./row-shares.ts";
import { type MaskStructure, upToKthSmallest } from "./select.ts";

/** A weight to be pruned column by column, from the first to the last. */
export interface PruningProblem {
  /** [rows, columns]. */
  readonly weight: Float32Array;
  /** 1 for each weight that is zero and is to stay so; without it there are none. */
  readonly pruned?: Uint8Array;
  /** Share of the weights of a block to prune, where there is no `structure`. */
  readonly sparsity: number;
  readonly structure: MaskStructure | null;
  /** Columns whose weights are compared with one another; a multiple of what `structure` is of. */
  readonly blockSize: number;
}

/** What SparseGPT makes of a weight. */
export interface PrunedColumns {
  /** [rows, columns]. */
  readonly weight: Float32Array<ArrayBuffer>;
  /** ½ Σ e², e the error of each step in units of the factor's diagonal. */
  readonly loss: number;
}

/** Positions whose common part of a sum is computed before they are pruned one by one. */
const CHUNK = 32;

/** Prunes weights with the factor of their Hessian, one after another. */
export async function pruneColumns(
  context: KernelContext,
  factor: LowerPanels,
  problems: readonly PruningProblem[],
): Promise<PrunedColumns[]> {
  const results: PrunedColumns[] = [];
  for (const problem of problems) {
    results.push(await context.arena.scoped(() => pruneWeight(context, factor, problem)));
  }
  return results;
}

/**
 * Prunes a weight with the factor of its Hessian, in which columns stand from the last to the first. As the reference does,
 * a block without structure loses what is up to the element at index ⌊count · sparsity⌋ of its sorted saliencies, one more
 * than the share. The result does not depend on the number of threads.
 */
async function pruneWeight(
  context: KernelContext,
  factor: LowerPanels,
  problem: PruningProblem,
): Promise<PrunedColumns> {
  const { arena, products, buffers } = context;
  const { columns } = factor;
  const rows = problem.weight.length / columns;
  const lanes = Math.ceil(rows / ROWS) * ROWS;
  const order = Int32Array.from({ length: columns }, (_, position) => columns - 1 - position);
  const [weight, orderAt, loss] = [problem.weight, order, new Float64Array(lanes)].map((values) => arena.put(values));
  const result = arena.take(4 * rows * columns);
  const difference = buffers.take("F32", [columns, lanes]); // D, position by position
  for (let end = columns; end > 0; end -= problem.blockSize) {
    const start = Math.max(0, end - problem.blockSize);
    const factorBlock = columnsOf(factor, start, end);
    const [width, after] = [end - start, rowsOf(difference, end)];
    const correction = buffers.takeZeros("F32", [width, lanes]);
    if (end < columns) await products.multiplyTransposed(correction, rowsOf(factorBlock, width), after);
    const places = { weight, order: orderAt + 4 * start, result, loss };
    const block = { factor: transposeBlock(factorBlock), correction, columns, rows };
    const kept = keptIn(problem, columns - end, block);
    const marks = problem.structure ? kept : await leastSalient(context, problem, places, { ...block, kept });
    const found = await pruneBlock(context, places, block, marks, problem.structure);
    rowsOf(difference, start, end).data.set(found);
    buffers.give(correction);
  }
  buffers.give(difference);
  return {
    weight: arena.view(Float32Array, result, rows * columns).slice() as Float32Array<ArrayBuffer>,
    loss: arena.view(Float64Array, loss, rows).reduce((sum, value) => sum + value, 0),
  };
}

/** Addresses of what all blocks share. */
interface Places {
  readonly weight: number;
  readonly order: number;
  readonly result: number;
  readonly loss: number;
}

/** One block of positions. */
interface Block {
  /** [p, k] is L[k, p] inside the block. */
  readonly factor: Float32Array;
  /** [width, lanes]: what the blocks after it add to its sums. */
  readonly correction: Tensor<"F32">;
  readonly columns: number;
  readonly rows: number;
}

/** Runs the kernel on a block: prunes what is marked, [width, lanes], and what `structure` asks for. Returns D. */
function pruneBlock(
  context: KernelContext,
  { weight, order, result, loss }: Places,
  { factor, correction, columns, rows }: Block,
  marks: Uint8Array,
  structure: MaskStructure | null,
): Promise<Float32Array> {
  const { arena, threads } = context;
  const [width, lanes] = correction.shape;
  const { prune, of } = structure ?? { prune: 0, of: 1 };
  const chunk = Math.max(of, CHUNK - (CHUNK % of));
  return arena.scoped(() => {
    const [factorAt, sums, marksAt] = [factor, correction.data, marks].map((values) => arena.put(values));
    const scratch = takeScratch(context, 3 * width);
    const shareOf = sharesOfRows(threads, rows);
    threads.run("pruneBlock", (thread) => {
      const share = shareOf(thread);
      const tables = [weight, order, factorAt, sums, marksAt, result, loss, scratch[thread]];
      return share && [...tables, columns, lanes, rows, width, prune, of, chunk, ...share];
    });
    return arena.view(Float32Array, sums, width * lanes).slice();
  });
}

/** The marks of what is to stay zero in the block that begins at column `first`: [width, lanes]. */
function keptIn({ pruned }: PruningProblem, first: number, { correction, columns, rows }: Block): Uint8Array {
  const [width, lanes] = correction.shape;
  const marks = new Uint8Array(width * lanes);
  for (let position = 0; pruned && position < width; position++) {
    const column = first + width - 1 - position;
    for (let row = 0; row < rows; row++) marks[position * lanes + row] = pruned[row * columns + column];
  }
  return marks;
}

/** Marks the share of a block that has the least saliency, if what is kept is not as much already. */
async function leastSalient(
  context: KernelContext,
  { pruned, sparsity }: PruningProblem,
  places: Places,
  block: Block & { readonly kept: Uint8Array },
): Promise<Uint8Array> {
  const { kept, correction, columns, rows } = block;
  const [width, lanes] = correction.shape;
  const count = Math.trunc(width * rows * sparsity);
  if (pruned && count <= kept.reduce((sum, mark) => sum + mark, 0)) return kept;
  await pruneBlock(context, places, block, new Uint8Array(kept.length), null); // leaves the weights as they come here
  const current = context.arena.view(Float32Array, places.result, rows * columns);
  const order = context.arena.view(Int32Array, places.order, width);
  const saliency = new Float32Array(width * rows);
  for (let row = 0; row < rows; row++) {
    for (let position = 0; position < width; position++) {
      if (kept[position * lanes + row]) continue; // 0: the first to be taken
      const value = current[row * columns + order[position]] * block.factor[position * (width + 1)];
      saliency[position * rows + row] = value * value;
    }
  }
  const least = upToKthSmallest(saliency, Math.min(count, saliency.length - 1));
  const marks = new Uint8Array(kept.length);
  for (let position = 0; position < width; position++)
    marks.set(least.subarray(position * rows, (position + 1) * rows), position * lanes);
  return marks;
}
