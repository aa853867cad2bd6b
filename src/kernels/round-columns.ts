import type { KernelContext } from "./cholesky.ts";
import type { LowerPanel, LowerPanels } from "./lower-panels.ts";
import { rowsOf } from "./matrix-products.ts";
import type { Threads } from "./threads.ts";

/** A weight to be rounded column by column. */
export interface ColumnProblem {
  /** [rows, columns]. */
  readonly weight: Float32Array;
  /** [rows, groups]. */
  readonly scale: Float32Array;
  /** [rows, groups]; without it all are 0. */
  readonly zeroPoint?: Int8Array;
  /** Index of the scale that each column uses. */
  readonly groupOfColumn: Int32Array;
  /** The column in each position; positions are visited from the last to the first. */
  readonly order: Int32Array;
  readonly numBits: number;
  /** [rows, columns]: 1 for each weight that is zero and is to stay so; without it there are none. */
  readonly pruned?: Uint8Array;
}

/** What GPTQ makes of a weight. */
export interface RoundedColumns {
  /** [rows, columns], columns in their own order. */
  readonly codes: Int8Array<ArrayBuffer>;
  /** ½ Σ e², e the error of each step in units of the factor's diagonal. */
  readonly loss: number;
}

/** Rows that a kernel works on at once. */
export const ROWS = 8;

/**
 * Rounds a weight with the factor of its Hessian, a panel of positions at a time: what the panels after it add to its
 * columns is a matrix product. The result does not depend on the number of threads.
 */
export async function roundColumns(
  context: KernelContext,
  factor: LowerPanels,
  problem: ColumnProblem,
): Promise<RoundedColumns> {
  const { arena, threads, products, buffers } = context;
  const place = placeProblem(context, factor.columns, problem);
  const order = arena.put(problem.order);
  const { columns, rows, lanes } = place;
  const difference = buffers.take("F32", [columns, lanes]); // D, position by position
  for (const { start, matrix } of factor.panels.toReversed()) {
    const width = matrix.shape[1];
    const after = start + width;
    const correction = buffers.take("F32", [width, lanes]);
    if (after === columns) correction.data.fill(0);
    else await products.multiplyTransposed(correction, rowsOf(matrix, width), rowsOf(difference, after));
    await arena.scoped(async () => {
      const [block, corrected] = [arena.put(transposeBlock(matrix)), arena.put(correction.data)];
      const scratch = Array.from({ length: threads.count }, () => arena.take(4 * ROWS * 3 * width));
      const shareOf = sharesOfRows(threads, rows);
      await threads.run("roundBlock", (thread) => {
        const share = shareOf(thread);
        const { weight, group, scale, zero, pruned, codes, loss, lowest, highest } = place;
        const tables = [
          weight,
          order + 4 * start,
          group,
          scale,
          zero,
          pruned,
          block,
          corrected,
          codes,
          loss,
          scratch[thread],
        ];
        return share && [...tables, columns, lanes, rows, width, lowest, highest, ...share];
      });
      rowsOf(difference, start, after).data.set(arena.view(Float32Array, corrected, width * lanes));
    });
    buffers.give(correction);
  }
  buffers.give(difference);
  return {
    codes: arena.view(Int8Array, place.codes, rows * columns).slice() as Int8Array<ArrayBuffer>,
    loss: arena.view(Float64Array, place.loss, rows).reduce((sum, value) => sum + value, 0),
  };
}

/** Puts what all parts of a problem share into the kernels' memory. */
export function placeProblem({ arena }: KernelContext, columns: number, problem: Omit<ColumnProblem, "order">) {
  const { weight, scale, zeroPoint, groupOfColumn, numBits, pruned } = problem;
  const rows = weight.length / columns;
  const lanes = Math.ceil(rows / ROWS) * ROWS;
  const half = 2 ** (numBits - 1);
  return {
    columns,
    rows,
    lanes,
    weight: arena.put(weight),
    group: arena.put(groupOfColumn),
    scale: arena.put(byGroup(scale, rows, lanes)),
    zero: arena.put(byGroup(zeroPoint ?? new Int8Array(scale.length), rows, lanes)),
    pruned: pruned ? arena.put(pruned) : 0,
    codes: arena.take(rows * columns),
    loss: arena.put(new Float64Array(rows)),
    lowest: -half,
    highest: half - 1,
  };
}

/** [groups, lanes] of [rows, groups]; lanes past the end repeat the last row. */
function byGroup(values: Float32Array | Int8Array, rows: number, lanes: number): Float32Array {
  const groups = values.length / rows;
  const result = new Float32Array(groups * lanes);
  for (let group = 0; group < groups; group++) {
    for (let lane = 0; lane < lanes; lane++) {
      result[group * lanes + lane] = values[Math.min(lane, rows - 1) * groups + group];
    }
  }
  return result;
}

/** The rows, begin to end, that each thread works on: a multiple of what a kernel works on at once; null for none. */
export function sharesOfRows(threads: Threads, rows: number): (thread: number) => [begin: number, end: number] | null {
  const panels = Math.ceil(rows / ROWS);
  const cut = (thread: number) => Math.min(rows, ROWS * Math.round((panels * thread) / threads.count));
  return (thread) => (cut(thread) < cut(thread + 1) ? [cut(thread), cut(thread + 1)] : null);
}

/** [p, k] is L[k, p] of the diagonal block. */
export function transposeBlock({ data, shape: [, width] }: LowerPanel["matrix"]): Float32Array {
  const result = new Float32Array(width * width);
  for (let k = 0; k < width; k++) for (let p = 0; p <= k; p++) result[p * width + k] = data[k * width + p];
  return result;
}
