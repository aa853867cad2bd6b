import type { KernelContext } from "./cholesky.ts";
import { type ColumnProblem, placeProblems } from "./column-problem.ts";
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
      const scratch = takeScratch(context, 3 * width);
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
