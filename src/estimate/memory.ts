import type { Step } from "./steps.ts";

/** The most bytes that a run has in memory, by what they are for. */
export interface Memory {
  /** The process with its libraries. */
  readonly fixed: number;
  /** What garbage collection leaves for later. */
  readonly garbage: number;
  /** The subgraph that needs most: weights, what taps hold, and what is computed with them. */
  readonly subgraph: number;
  /** Values that go from subgraph to subgraph, up to the budget. */
  readonly intermediates: number;
}

/** What a prediction of memory starts from. */
export interface MemoryOptions {
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
  const candidates = steps.map((step) => ({
    fixed,
    garbage: garbageBytes(step),
    subgraph: subgraphBytes(step),
    intermediates: Math.min(memoryBudget, step.intermediateBytes),
  }));
  return candidates.reduce((most, other) => (totalOf(other) > totalOf(most) ? other : most));
}

/** All bytes together. */
export function totalOf({ fixed, garbage, subgraph, intermediates }: Memory): number {
  return fixed + garbage + subgraph + intermediates;
}

/** What V8 lets pass before it collects buffers, and the most that a step's own garbage has been seen to add to that. */
const [ALLOWANCE, MOST_GARBAGE] = [64 * 2 ** 20, 256 * 2 ** 20];
/** How often buffers of a step are made anew before those of earlier ones are collected, as measured. */
const CHURN = 2.5;

/** Buffers that nobody holds any more and that are not collected yet. */
function garbageBytes({ parameters, storedBytes, moments }: Step): number {
  const made = moments.reduce((sum, moment) => sum + roundingBytes(moment), 4 * parameters + storedBytes);
  return ALLOWANCE + Math.min(MOST_GARBAGE, CHURN * made);
}

/**
 * Weights in F32 and as they were read, the totals of taps, and what is larger: what one run computes, or what is needed to
 * compress the weights that share a second moment.
 */
function subgraphBytes({ parameters, storedBytes, totalBytes, runs, moments }: Step): number {
  return 4 * parameters + storedBytes + totalBytes + Math.max(runs.peakBytes, ...moments.map(roundingBytes));
}

/**
 * The second moment as one matrix and the half of it that is factorised, both in F32; of the weights, several copies: in F32
 * as they are read and as they are rounded, their errors, and the codes.
 */
function roundingBytes({ columns, rows }: Step["moments"][number]): number {
  return 6 * columns ** 2 + 17 * rows * columns;
}
