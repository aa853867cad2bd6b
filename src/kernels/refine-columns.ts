import type { Tensor } from "../tensor/tensor.ts";
import type { KernelContext } from "./cholesky.ts";
import { type ColumnProblem, type PlacedProblems, placeProblems } from "./column-problem.ts";
import { rowsOf } from "./matrix-products.ts";
import type { CodeArray } from "./round-columns.ts";
import { sharesOfRows, takeScratch } from "./row-shares.ts";

/** A rounded weight whose codes and scales are to be improved. */
export interface RefinementProblem extends Omit<ColumnProblem, "order"> {
  /** [rows, columns], where the search begins. */
  readonly codes: CodeArray;
  /** How a scale is stored, where scales may change. */
  readonly storedScale?: StoredScale;
}

/** Floating-point numbers that a scale can be stored as: those of float32 with fewer bits. */
export interface StoredScale {
  /** Bits of float32's mantissa that are not stored. */
  readonly droppedBits: number;
  /** The smallest that is stored with all the bits of its mantissa. */
  readonly smallest: number;
}

/** Whose quadratic form is the error, and how long it is made smaller. */
export interface RefinementOptions {
  /** [columns, columns], symmetric, in any unit. */
  readonly hessian: Tensor<"F32">;
  /** Stands for the Hessian's diagonal: damped, positive everywhere, in the same unit. */
  readonly diagonal: Float64Array;
  /** How often all columns are gone through. */
  readonly sweeps: number;
}

/** What a search has found. */
export interface RefinedColumns {
  /** [rows, columns]. */
  readonly codes: Int8Array<ArrayBuffer>;
  /** [rows, groups]. */
  readonly scale: Float32Array<ArrayBuffer>;
  /** By how much tr(E H Eᵀ) has fallen, in the Hessian's unit. */
  readonly gain: number;
}

/** Scales that are tried to each side of a group's in the first sweep, and how far apart; each sweep after it halves that. */
const [TRIALS, STEP] = [2, 0.06];
/** Sweeps that try other scales. */
const SEARCHES = 3;

const NO_SCALE: StoredScale = { droppedBits: 0, smallest: 0 };

/** Columns that the kernel holds at once; a group of more of them keeps its scale. */
const WIDEST = 128;

/** Neighbouring columns of one group, `start` to `end` (excluded). */
interface Block {
  readonly start: number;
  readonly end: number;
  readonly group: number;
  /** Whether it is all of its group. */
  readonly whole: boolean;
}

/**
 * Coordinate descent on the integer codes of a weight, and on its scales between, a block of columns at a time: the gradient of
 * a block is one matrix product. The first sweeps also try other scales, each with the codes that suit it. No step makes
 * tr((W − Ŵ) H (W − Ŵ)ᵀ) larger. Follows QuantEase (arXiv:2309.01885) for codes.
 * The result does not depend on the number of threads.
 */
export async function refineColumns(
  context: KernelContext,
  { hessian, diagonal, sweeps }: RefinementOptions,
  problem: RefinementProblem,
): Promise<RefinedColumns> {
  const { arena, buffers } = context;
  const place = placeProblems(context, hessian.shape[0], [problem]);
  const { rows, columns, lanes } = place;
  arena.view(Int8Array, place.codes, rows * columns).set(problem.codes);
  const gains = place.loss;
  const difference = differenceOf(problem, buffers.take("F32", [columns, lanes]));
  for (let sweep = 0; sweep < sweeps; sweep++) {
    for (const block of blocksOf(problem.groupOfColumn)) {
      await refineBlock(context, {
        hessian,
        diagonal,
        difference,
        block,
        place,
        sweep,
        storedScale: problem.storedScale,
      });
    }
  }
  buffers.give(difference);
  const groups = problem.scale.length / rows;
  const refined = arena.view(Float32Array, place.scale, groups * lanes);
  return {
    codes: arena.view(Int8Array, place.codes, rows * columns).slice() as Int8Array<ArrayBuffer>,
    scale: Float32Array.from(problem.scale, (_, i) => refined[(i % groups) * lanes + Math.floor(i / groups)]),
    gain: arena.view(Float64Array, gains, rows).reduce((sum, value) => sum + value, 0),
  };
}

interface BlockStep extends Omit<RefinementOptions, "sweeps">, Pick<RefinementProblem, "storedScale"> {
  readonly difference: Tensor<"F32">;
  readonly block: Block;
  readonly sweep: number;
  readonly place: PlacedProblems;
}

async function refineBlock(context: KernelContext, step: BlockStep): Promise<void> {
  const { arena, threads, products, buffers } = context;
  const { difference, block, place, storedScale, sweep } = step;
  const { start, end, group } = block;
  const { columns, rows, lanes, grid } = place;
  const [lowest, highest] = grid;
  const width = end - start;
  const beside = columnsOfHessian(step, buffers.take("F32", [columns, width]));
  const gradient = buffers.take("F32", [width, lanes]);
  await products.multiplyTransposed(gradient, beside, difference);
  const own = rowsOf(difference, start, end);
  await arena.scoped(() => {
    const [slopes, changed, square] = [gradient, own, rowsOf(beside, start, end)].map(({ data }) => arena.put(data));
    const scratch = takeScratch(context, 5 * width);
    const shareOf = sharesOfRows(threads, rows);
    const [scale, zero] = [place.scale, place.zero].map((address) => address + 4 * group * lanes);
    const pruned = place.pruned && place.pruned + start;
    const { droppedBits, smallest } = storedScale ?? NO_SCALE;
    const search = [sweep < SEARCHES ? TRIALS : 0, STEP / 2 ** sweep];
    const refit = [storedScale && block.whole ? 1 : 0, droppedBits, smallest, ...search];
    threads.run("refineBlock", (thread) => {
      const share = shareOf(thread);
      const tables = [slopes, changed, square, scale, zero, pruned, place.codes + start, place.loss, scratch[thread]];
      return share && [...tables, columns, lanes, rows, width, lowest, highest, ...refit, ...share];
    });
    own.data.set(arena.view(Float32Array, changed, width * lanes));
  });
  for (const tensor of [beside, gradient]) buffers.give(tensor);
}

/** The damped Hessian's columns of a block: [columns, width]. */
function columnsOfHessian(
  { hessian, diagonal, block: { start, end } }: Pick<BlockStep, "hessian" | "diagonal" | "block">,
  result: Tensor<"F32">,
): Tensor<"F32"> {
  const [columns, width] = result.shape;
  for (let row = 0; row < columns; row++) {
    result.data.set(hessian.data.subarray(row * columns + start, row * columns + end), row * width);
  }
  for (let i = 0; i < width; i++) result.data[(start + i) * width + i] = diagonal[start + i];
  return result;
}

/** E = W − Ŵ, column by column: [columns, lanes], zero in lanes past the rows. */
function differenceOf(
  { weight, scale, zeroPoint, groupOfColumn, codes }: RefinementProblem,
  result: Tensor<"F32">,
): Tensor<"F32"> {
  const [columns, lanes] = result.shape;
  const rows = weight.length / columns;
  const groups = scale.length / rows;
  result.data.fill(0);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = row * groups + groupOfColumn[column];
      const code = codes[row * columns + column] - (zeroPoint ? zeroPoint[at] : 0);
      result.data[column * lanes + row] = weight[row * columns + column] - code * scale[at];
    }
  }
  return result;
}

/** Columns of one group beside one another, no more than the kernel holds. */
function blocksOf(groupOfColumn: Int32Array): Block[] {
  const sizes = new Map<number, number>();
  for (const group of groupOfColumn) sizes.set(group, (sizes.get(group) ?? 0) + 1);
  const blocks: Block[] = [];
  for (let start = 0; start < groupOfColumn.length; start = blocks[blocks.length - 1].end) {
    const group = groupOfColumn[start];
    let end = start + 1;
    while (end < groupOfColumn.length && groupOfColumn[end] === group && end - start < WIDEST) end++;
    blocks.push({ start, end, group, whole: end - start === sizes.get(group) });
  }
  return blocks;
}
