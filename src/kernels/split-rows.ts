import type { ColumnProblem } from "./column-problem.ts";
import type { RoundedColumns } from "./round-columns.ts";
import { ROWS } from "./row-shares.ts";

/** Elements of a weight that are rounded at once: more are no faster, and take several times their size in memory. */
const LARGEST = 2 ** 23;

/** A problem as several of fewer rows each, where it is large: rows do not depend on one another. */
export function splitRows(problem: ColumnProblem, columns: number, largest = LARGEST): ColumnProblem[] {
  const { weight, scale, zeroPoint, pruned } = problem;
  const rows = weight.length / columns;
  const groups = scale.length / rows;
  const most = Math.max(1, Math.floor(largest / columns / ROWS)) * ROWS;
  const count = Math.ceil(rows / Math.ceil(rows / most) / ROWS) * ROWS; // shares of one size, as far as they can be
  return Array.from({ length: Math.ceil(rows / count) }, (_, share) => {
    const [begin, end] = [share * count, Math.min(rows, (share + 1) * count)];
    return {
      ...problem,
      weight: weight.subarray(begin * columns, end * columns),
      scale: scale.subarray(begin * groups, end * groups),
      zeroPoint: zeroPoint?.subarray(begin * groups, end * groups),
      pruned: pruned?.subarray(begin * columns, end * columns),
    };
  });
}

/** What the shares of one problem were rounded to, in order, as one. */
export function joinRows(shares: readonly RoundedColumns[]): RoundedColumns {
  if (shares.length === 1) return shares[0];
  const codes = new Int8Array(shares.reduce((sum, share) => sum + share.codes.length, 0));
  let done = 0;
  for (const share of shares) {
    codes.set(share.codes, done);
    done += share.codes.length;
  }
  return { codes, loss: shares.reduce((sum, { loss }) => sum + loss, 0) };
}
