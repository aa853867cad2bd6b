import type { Replay } from "../modifiers/modifier.ts";
import type { Statistic, Tap } from "../modifiers/tap.ts";
import type { Module } from "../nn/module.ts";

/** What was seen of one value over all batches, for all taps on it that reduce it in one way. */
export interface Observed {
  readonly taps: readonly Tap[];
  /** The same for all of these taps. */
  readonly statistic: Statistic;
}

/** Is told of each batch that a run is through with. */
export type OnBatch = () => void;

/**
 * Runs subgraphs on calibration batches, and keeps what flows from one to the next. The pipeline knows no batch but through
 * this: where they lie, and how many processes share them, is an executor's own affair. One call at a time.
 *
 * Parameters have the values that the pipeline's {@link Weights} have at the time of a call. Subgraphs are named by their
 * places, so that a call can go to another process.
 */
export interface CalibrationExecutor {
  /** Goes back to the model's inputs, which the first subgraphs read. */
  restart(): Promise<void>;
  /**
   * Runs all batches for what the taps observe, and nothing else; then tells it, value by value, in an order of its own.
   *
   * @param consumed - where given, the same run is for what later subgraphs read too: see {@link propagate}
   */
  calibrate(
    subgraph: number,
    taps: readonly Tap[],
    onBatch: OnBatch,
    consumed?: ReadonlySet<string>,
  ): AsyncIterable<Observed>;
  /**
   * Runs all batches for what later subgraphs read.
   *
   * @param consumed - names that are forgotten as soon as a batch has run, before the next one needs room
   */
  propagate(subgraph: number, consumed: ReadonlySet<string>, onBatch: OnBatch): Promise<void>;
  /** Keeps what a module below a subgraph is given, and gives. @throws CompressionError unless it is called exactly once */
  record(subgraph: number, module: Module): Promise<Replay>;
  /** Forgets values of all batches: those of these names, or all. */
  forget(names?: ReadonlySet<string>): Promise<void>;
  /** Ends a subgraph: its weights have been released, and memory that was of no use for some subgraphs is let go. */
  endSubgraph(): Promise<void>;
  /** Ends everything, also in the middle of a call. */
  close(): Promise<void>;
}
