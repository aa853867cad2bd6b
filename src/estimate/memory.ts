import type { Step } from "./steps.ts";

/** The most bytes that a run has in memory, by what they are for. */
export interface Memory {
  /** The process with its libraries. */
  readonly fixed: number;
  /** Compiled graphs, and what garbage collection leaves for later. */
  readonly garbage: number;
  /** The subgraph that needs most: weights, what taps hold, and what is computed with them. */
  readonly subgraph: number;
  /** Values that go from subgraph to subgraph, up to the budget. */
  readonly intermediates: number;
}

/** What a prediction of memory starts from. */
interface MemoryOptions {
  /** Bytes of the process before the first subgraph. */
  readonly fixed: number;
  /** Bytes of intermediates that stay in memory. No limit by default. */
  readonly memoryBudget?: number;
}

/** The step that needs most together with the intermediates that are there while it is done. */
export function predictMemory(
  steps: readonly Step[],
  { fixed, memoryBudget = Number.POSITIVE_INFINITY }: MemoryOptions,
): Memory {
  const candidates = steps.map((step) => {
    const subgraph = subgraphBytes(step);
    const intermediates = Math.min(memoryBudget, step.intermediateBytes);
    return { fixed, garbage: GRAPHS + Math.min(2 * subgraph, MOST_GARBAGE), subgraph, intermediates };
  });
  return candidates.reduce((most, other) => (totalOf(other) > totalOf(most) ? other : most));
}

/** All bytes together. */
export function totalOf({ fixed, garbage, subgraph, intermediates }: Memory): number {
  return fixed + garbage + subgraph + intermediates;
}

/**
 * Compiled graphs and what glibc keeps of memory that was freed; and what V8 lets pass before it collects buffers that nobody holds
 * any more: those of two subgraphs, unless they are large. As measured.
 */
const [GRAPHS, MOST_GARBAGE] = [32 * 2 ** 20, 192 * 2 ** 20];

/**
 * Weights in F32, the codes that they become, what is observed, and what is larger: what one run computes, or what is needed to
 * compress the weights that share a second moment.
 */
function subgraphBytes({ parameters, totalBytes, runs, moments }: Step): number {
  const codes = moments.reduce((sum, { columns, rows }) => sum + rows * columns, 0);
  const matrices = moments.reduce((sum, { columns }) => sum + 4 * columns ** 2, 0);
  const rounding = Math.max(0, ...moments.map(roundingBytes));
  return 4 * parameters + codes + Math.max(totalBytes, matrices) + Math.max(runs.peakBytes, rounding);
}

/** Elements of a weight that are rounded at once, and bytes for each: as it was, its errors, its codes, and a product with it. */
const [AT_ONCE, BYTES_AT_ONCE] = [2 ** 23, 13];

/** The half of a second moment that is factorised, in F32; the weights in the dtype that they are saved in. */
function roundingBytes({ columns, rows }: Step["moments"][number]): number {
  return 2 * columns ** 2 + 2 * rows * columns + BYTES_AT_ONCE * Math.min(AT_ONCE, rows * columns);
}
