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
  /** What the codes are: integers, or floats as their bits (E4M3 of 8, E2M1 of 4). "int". */
  readonly type?: "int" | "float";
  /** [rows, columns]: 1 for each weight that is zero and is to stay so; without it there are none. */
  readonly pruned?: Uint8Array;
}

/** A code a byte: signed integers, or floats as their bits. */
export type CodeArray = Int8Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** What GPTQ makes of a weight. */
export interface RoundedColumns {
  /** [rows, columns], columns in their own order. */
  readonly codes: CodeArray;
  /** ½ Σ e², e the error of each step in units of the factor's diagonal. */
  readonly loss: number;
}

/** Rows that a kernel works on at once. */
export const ROWS = 8;

/** Elements of weights that are rounded at once: more gain nothing, and take memory. */
const LARGEST_STACK = 2 ** 23;

/**
 * Rounds weights with the factor of their Hessian. Those alike are stacked and rounded as one, as rows do not depend on one
 * another.
 */
export async function roundColumns(
  context: KernelContext,
  factor: LowerPanels,
  problems: readonly ColumnProblem[],
): Promise<RoundedColumns[]> {
  const results: RoundedColumns[] = [];
  while (results.length < problems.length) {
    const stack = firstAlike(problems.slice(results.length));
    results.push(...(await context.arena.scoped(() => roundStack(context, factor, stack))));
  }
  return results;
}

/** The first of some problems and those after it, as far as they can be stacked. */
function firstAlike(problems: readonly ColumnProblem[]): readonly ColumnProblem[] {
  let elements = 0;
  const end = problems.findIndex((problem, index) => {
    elements += problem.weight.length;
    return index > 0 && !(elements <= LARGEST_STACK && areAlike(problem, problems[0]));
  });
  return end < 0 ? problems : problems.slice(0, end);
}

function areAlike(one: ColumnProblem, other: ColumnProblem): boolean {
  const isEqual = (a: Int32Array, b: Int32Array) => a === b || a.every((value, index) => value === b[index]);
  return (
    one.type === other.type &&
    one.numBits === other.numBits &&
    isEqual(one.order, other.order) &&
    isEqual(one.groupOfColumn, other.groupOfColumn)
  );
}

/**
 * Rounds weights, one below the other, a panel of positions at a time: what the panels after it add to its columns is a
 * matrix product. The result does not depend on the number of threads.
 */
async function roundStack(
  context: KernelContext,
  factor: LowerPanels,
  problems: readonly ColumnProblem[],
): Promise<RoundedColumns[]> {
  const { arena, threads, products, buffers } = context;
  const place = placeProblems(context, factor.columns, problems);
  const order = arena.put(problems[0].order);
  const { columns, rows, lanes } = place;
  const difference = buffers.take("F32", [columns, lanes]); // D, position by position
  for (const { start, matrix } of factor.panels.toReversed()) {
    const width = matrix.shape[1];
    const after = start + width;
    const correction = buffers.take("F32", [width, lanes]);
    if (after === columns) correction.data.fill(0);
    else await products.multiplyTransposed(correction, rowsOf(matrix, width), rowsOf(difference, after));
    await arena.scoped(() => {
      const [block, corrected] = [arena.take(4 * width * width), arena.put(correction.data)];
      transposeBlock(matrix, arena.view(Float32Array, block, width * width));
      const scratch = Array.from({ length: threads.count }, () => arena.take(4 * ROWS * 3 * width));
      const shareOf = sharesOfRows(threads, rows);
      threads.run("roundBlock", (thread) => {
        const share = shareOf(thread);
        const { weight, group, scale, zero, pruned, codes, loss, grid } = place;
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
        return share && [...tables, columns, lanes, rows, width, ...grid, ...share];
      });
      rowsOf(difference, start, after).data.set(arena.view(Float32Array, corrected, width * lanes));
    });
    buffers.give(correction);
  }
  buffers.give(difference);
  return resultsOf(context, place, problems);
}

/** What the kernels are told of a weight, whatever the order of its columns. */
type PlacedProblem = Omit<ColumnProblem, "order">;

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
    loss: arena.put(new Float64Array(rows)),
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

/** Codes and losses of each problem, out of the kernels' memory. */
function resultsOf(
  { arena }: KernelContext,
  { columns, codes, loss }: ReturnType<typeof placeProblems>,
  problems: readonly ColumnProblem[],
): RoundedColumns[] {
  let done = 0;
  return problems.map(({ type, weight: { length } }) => {
    const [first, rows] = [done / columns, length / columns];
    const own = arena.view(Int8Array, codes + done, length).slice() as Int8Array<ArrayBuffer>;
    done += length;
    return {
      codes: type === "float" ? new Uint8Array(own.buffer) : own,
      loss: arena.view(Float64Array, loss + 8 * first, rows).reduce((sum, value) => sum + value, 0),
    };
  });
}

/** The rows, begin to end, that each thread works on: a multiple of what a kernel works on at once; null for none. */
export function sharesOfRows(threads: Threads, rows: number): (thread: number) => [begin: number, end: number] | null {
  const panels = Math.ceil(rows / ROWS);
  const cut = (thread: number) => Math.min(rows, ROWS * Math.round((panels * thread) / threads.count));
  return (thread) => (cut(thread) < cut(thread + 1) ? [cut(thread), cut(thread + 1)] : null);
}

/** The diagonal block of a panel in `target`: [p, k] is L[k, p]. */
export function transposeBlock(
  { data, shape: [, width] }: LowerPanel["matrix"],
  target = new Float32Array(width * width),
): Float32Array {
  for (let k = 0; k < width; k++) for (let p = 0; p <= k; p++) target[p * width + k] = data[k * width + p];
  return target;
}
