import type { Tensor } from "../tensor/tensor.ts";
import type { KernelContext } from "./cholesky.ts";
import { type ColumnProblem, type PlacedProblems, placeProblems } from "./column-problem.ts";
import { type LowerPanels, transposeBlock } from "./lower-panels.ts";
import { rowsOf } from "./matrix-products.ts";
import { sharesOfRows, takeScratch } from "./row-shares.ts";

/** A code a byte: signed integers, or floats as their bits. */
export type CodeArray = Int8Array<ArrayBuffer> | Uint8Array<ArrayBuffer>;

/** What GPTQ makes of a weight. */
export interface RoundedColumns {
  /** [rows, columns], columns in their own order. */
  readonly codes: CodeArray;
  /** ½ Σ e², e the error of each step in units of the factor's diagonal. */
  readonly loss: number;
}

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
  const { arena, products, buffers } = context;
  const place = placeProblems(context, factor.columns, problems);
  const order = arena.put(problems[0].order);
  const { columns, lanes } = place;
  const difference = buffers.take("F32", [columns, lanes]); // D, position by position
  for (const { start, matrix } of factor.panels.toReversed()) {
    const width = matrix.shape[1];
    const after = start + width;
    const correction = buffers.take("F32", [width, lanes]);
    if (after === columns) correction.data.fill(0);
    else await products.multiplyTransposed(correction, rowsOf(matrix, width), rowsOf(difference, after));
    const { data: result } = rowsOf(difference, start, after);
    await roundPanel(context, place, { matrix, correction, order: order + 4 * start, result });
    buffers.give(correction);
  }
  buffers.give(difference);
  return resultsOf(context, place, problems);
}

/** Positions that are rounded one after another. */
interface PanelStep {
  /** [columns from the panel's first on, width], of the factor. */
  readonly matrix: Tensor<"F32">;
  /** [width, lanes]: what the panels after it add to its columns. */
  readonly correction: Tensor<"F32">;
  /** Address of the column in each of its positions. */
  readonly order: number;
  /** [width, lanes]: receives the panel's part of D. */
  readonly result: Float32Array;
}

/** Runs the kernel on a panel, share by share. */
function roundPanel(
  context: KernelContext,
  { columns, rows, lanes, grid, ...place }: PlacedProblems,
  { matrix, correction, order, result }: PanelStep,
): Promise<void> {
  const { arena, threads } = context;
  const width = matrix.shape[1];
  return arena.scoped(() => {
    const [block, corrected] = [arena.take(4 * width * width), arena.put(correction.data)];
    transposeBlock(matrix, arena.view(Float32Array, block, width * width));
    const scratch = takeScratch(context, 3 * width);
    const shareOf = sharesOfRows(threads, rows);
    const { weight, group, scale, zero, pruned, codes, loss } = place;
    threads.run("roundBlock", (thread) => {
      const share = shareOf(thread);
      const before = [weight, order, group, scale, zero, pruned, block, corrected];
      return share && [...before, codes, loss, scratch[thread], columns, lanes, rows, width, ...grid, ...share];
    });
    result.set(arena.view(Float32Array, corrected, width * lanes));
  });
}

/** Codes and losses of each problem, out of the kernels' memory. */
function resultsOf(
  { arena }: KernelContext,
  { columns, codes, loss }: PlacedProblems,
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
