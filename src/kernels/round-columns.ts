import type { KernelContext } from "./cholesky.ts";
import type { LowerPanel, LowerPanels } from "./lower-panels.ts";
import { rowsOf } from "./matrix-products.ts";

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
}

/** What GPTQ makes of a weight. */
export interface RoundedColumns {
  /** [rows, columns], columns in their own order. */
  readonly codes: Int8Array<ArrayBuffer>;
  /** ½ Σ e², e the error of each step in units of the factor's diagonal. */
  readonly loss: number;
}

/** Rows that a kernel works on at once. */
const ROWS = 8;

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
  const place = placeProblem(context, factor, problem);
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
      const panels = Math.ceil(rows / ROWS);
      const cut = (thread: number) => Math.min(rows, ROWS * Math.round((panels * thread) / threads.count));
      await threads.run("roundBlock", (thread) => {
        const [begin, end] = [cut(thread), cut(thread + 1)];
        if (begin >= end) return null;
        const { weight, order, group, scale, zero, codes, loss, lowest, highest } = place;
        const tables = [weight, order + 4 * start, group, scale, zero, block, corrected, codes, loss, scratch[thread]];
        return [...tables, columns, lanes, rows, width, lowest, highest, begin, end];
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

/** Puts what all panels share into the kernels' memory. */
function placeProblem({ arena }: KernelContext, { columns }: LowerPanels, problem: ColumnProblem) {
  const { weight, scale, zeroPoint, groupOfColumn, order, numBits } = problem;
  const rows = weight.length / columns;
  const lanes = Math.ceil(rows / ROWS) * ROWS;
  const half = 2 ** (numBits - 1);
  return {
    columns,
    rows,
    lanes,
    weight: arena.put(weight),
    order: arena.put(order),
    group: arena.put(groupOfColumn),
    scale: arena.put(byGroup(scale, rows, lanes)),
    zero: arena.put(byGroup(zeroPoint ?? new Int8Array(scale.length), rows, lanes)),
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

/** [p, k] is L[k, p] of the diagonal block. */
function transposeBlock({ data, shape: [, width] }: LowerPanel["matrix"]): Float32Array {
  const result = new Float32Array(width * width);
  for (let k = 0; k < width; k++) for (let p = 0; p <= k; p++) result[p * width + k] = data[k * width + p];
  return result;
}
