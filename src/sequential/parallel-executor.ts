import type { Replay } from "../modifiers/modifier.ts";
import { mergeStatistics } from "../modifiers/tap.ts";
import type { Module } from "../nn/module.ts";
import type { CalibrationExecutor, Observed, OnBatch } from "./executor.ts";

/**
 * Several executors as one, each with a share of the batches. What they have seen is merged in their order, whichever is done
 * first, so that a result depends on how the batches are shared out and on nothing else.
 */
export class ParallelExecutor implements CalibrationExecutor {
  /** @param executors - in the order of their batches; at least one */
  constructor(private readonly executors: readonly CalibrationExecutor[]) {}

  async restart(): Promise<void> {
    await this.#each((executor) => executor.restart());
  }

  async *calibrate(...args: Parameters<CalibrationExecutor["calibrate"]>): AsyncGenerator<Observed> {
    const streams = this.executors.map((executor) => executor.calibrate(...args)[Symbol.asyncIterator]());
    for (;;) {
      const shares = await Promise.all(streams.map((stream) => stream.next()));
      if (shares.some(({ done }) => done)) return;
      yield mergeObserved(shares.map(({ value }) => value));
    }
  }

  async propagate(subgraph: number, consumed: ReadonlySet<string>, onBatch: OnBatch): Promise<void> {
    await this.#each((executor) => executor.propagate(subgraph, consumed, onBatch));
  }

  /** Its batches are those of all executors, in their order. */
  async record(subgraph: number, module: Module): Promise<Replay> {
    const replays = await this.#each((executor) => executor.record(subgraph, module));
    const places = replays.flatMap((replay) => Array.from({ length: replay.batches }, (_, own) => ({ replay, own })));
    return {
      batches: places.length,
      error(changes, batch) {
        const { replay, own } = places[batch];
        return replay.error(changes, own);
      },
      async close() {
        await Promise.all(replays.map((replay) => replay.close()));
      },
    };
  }

  async forget(names?: ReadonlySet<string>): Promise<void> {
    await this.#each((executor) => executor.forget(names));
  }

  async endSubgraph(): Promise<void> {
    await this.#each((executor) => executor.endSubgraph());
  }

  async close(): Promise<void> {
    await this.#each((executor) => executor.close());
  }

  #each<Result>(run: (executor: CalibrationExecutor) => Promise<Result>): Promise<Result[]> {
    return Promise.all(this.executors.map(run));
  }
}

/** What all executors have seen of one value; changes the first one's total. */
function mergeObserved([first, ...others]: readonly Observed[]): Observed {
  const { reduce } = first.taps[0];
  const merge = (total: Observed["statistic"], { statistic }: Observed) => mergeStatistics(reduce, total, statistic);
  return { taps: first.taps, statistic: others.reduce(merge, first.statistic) };
}
