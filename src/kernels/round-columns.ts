import type { Arena } from "./arena.ts";
import type { Factor } from "./cholesky.ts";
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
  /** The column to visit at each step. */
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

/** Rounds a weight with the factor of its Hessian. The result does not depend on the number of threads. */
export async function roundColumns(
  arena: Arena,
  threads: Threads,
  factor: Factor,
  { weight, scale, zeroPoint, groupOfColumn, order, numBits }: ColumnProblem,
): Promise<RoundedColumns> {
  const columns = factor.columns;
  const rows = weight.length / columns;
  const groups = scale.length / rows;
  const half = 2 ** (numBits - 1);
  const zero = zeroPoint ? Float32Array.from(zeroPoint) : new Float32Array(scale.length);
  const inputs = [weight, order, groupOfColumn, scale, zero].map((values) => arena.put(values));
  const [weightAt, orderAt, groupAt, scaleAt, zeroAt] = inputs;
  const [codes, loss] = [arena.take(rows * columns), arena.take(8 * rows)];
  const scratch = Array.from({ length: threads.count }, () => arena.take(4 * ROWS * (3 * columns + 2 * groups)));
  const panels = Math.ceil(rows / ROWS);
  const cut = (thread: number) => Math.min(rows, ROWS * Math.round((panels * thread) / threads.count));
  await threads.run("roundRows", (thread) => {
    const [begin, end] = [cut(thread), cut(thread + 1)];
    if (begin >= end) return null;
    const tables = [weightAt, factor.address, orderAt, groupAt, scaleAt, zeroAt, codes, loss, scratch[thread]];
    return [...tables, columns, groups, rows, -half, half - 1, begin, end];
  });
  return {
    codes: arena.view(Int8Array, codes, rows * columns).slice() as Int8Array<ArrayBuffer>,
    loss: arena.view(Float64Array, loss, rows).reduce((sum, value) => sum + value, 0),
  };
}
