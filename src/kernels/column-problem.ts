import type { KernelContext } from "./cholesky.ts";
import { ROWS } from "./row-shares.ts";

/** A weight to be rounded column by column. */
export interface ColumnProblem {
  /** [rows, columns]. */
  readonly weight: Float32Array;
  /** [rows, groups]. */
  readonly scale: Float32Array;
  /** [rows, groups]; without it all are 0. */
  readonly zeroPoint?: Int8Array | Float32Array;
  /** Index of the scale that each column uses. */
  readonly groupOfColumn: Int32Array;
  /** The column in each position; positions are visited from the last to the first. */
  readonly order: Int32Array;
  readonly numBits: number;
  /** What the codes are: integers, or floats as their bits (E4M3 of 8, E2M1 of 4). "int". */
  readonly type?: "int" | "float";
  /** [rows, columns]: 1 for each weight that is zero and is to stay so; without it there are none. */
  readonly pruned?: Uint8Array;
}

/** What the kernels are told of a weight, whatever the order of its columns. */
type PlacedProblem = Omit<ColumnProblem, "order">;

/** Problems in the kernels' memory: addresses, sizes, and the grid that is rounded to. */
export type PlacedProblems = ReturnType<typeof placeProblems>;

/** Puts what all parts of some problems, stacked, share into the kernels' memory. */
export function placeProblems({ arena }: KernelContext, columns: number, problems: readonly PlacedProblem[]) {
  const rows = problems.reduce((sum, { weight }) => sum + weight.length / columns, 0);
  const lanes = Math.ceil(rows / ROWS) * ROWS;
  const weight = arena.take(4 * rows * columns);
  const pruned = problems.some((problem) => problem.pruned) ? arena.take(rows * columns) : 0;
  let done = 0;
  for (const problem of problems) {
    const { length } = problem.weight;
    arena.view(Float32Array, weight + 4 * done, length).set(problem.weight);
    if (pruned) arena.view(Uint8Array, pruned + done, length).set(problem.pruned ?? new Uint8Array(length));
    done += length;
  }
  return {
    columns,
    rows,
    lanes,
    weight,
    pruned,
    group: arena.put(problems[0].groupOfColumn),
    scale: arena.put(byGroup(problems, ({ scale }) => scale, columns, lanes)),
    zero: arena.put(
      byGroup(problems, ({ zeroPoint, scale }) => zeroPoint ?? new Int8Array(scale.length), columns, lanes),
    ),
    codes: arena.take(rows * columns),
    loss: arena.put(new Float64Array(lanes)),
    grid: gridOf(problems[0]),
  };
}

/**
 * What the kernel rounds to: the lowest and the highest number; of floats also the least that is not subnormal and the bits of
 * the fraction.
 */
function gridOf({ type, numBits }: PlacedProblem): readonly [number, number, number, number] {
  if (type === "float") return numBits === 8 ? [-448, 448, 2 ** -6, 3] : [-6, 6, 1, 1];
  const half = 2 ** (numBits - 1);
  return [-half, half - 1, 0, 0];
}

/** [groups, lanes] of values [rows, groups] of each problem; lanes past the end repeat the last row. */
function byGroup(
  problems: readonly PlacedProblem[],
  valuesOf: (problem: PlacedProblem) => Float32Array | Int8Array,
  columns: number,
  lanes: number,
): Float32Array {
  const groups = valuesOf(problems[0]).length / (problems[0].weight.length / columns);
  const result = new Float32Array(groups * lanes);
  let lane = 0;
  for (const problem of problems) {
    const values = valuesOf(problem);
    for (let at = 0; at < values.length; at += groups, lane++) {
      for (let group = 0; group < groups; group++) result[group * lanes + lane] = values[at + group];
    }
  }
  for (let group = 0; group < groups; group++) {
    result.fill(result[group * lanes + lane - 1], group * lanes + lane, (group + 1) * lanes);
  }
  return result;
}
