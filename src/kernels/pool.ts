import { Arena } from "./arena.ts";
import { factorize } from "./cholesky.ts";
import { type ColumnProblem, type RoundedColumns, roundColumns } from "./round-columns.ts";
import { Threads } from "./threads.ts";

/** WebAssembly kernels on a pool of threads. One call at a time; the calling thread never blocks. */
export class KernelPool {
  #last: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly arena: Arena,
    private readonly threads: Threads,
  ) {}

  /** @param threads - by default one for each core */
  static async create({ threads }: { threads?: number } = {}): Promise<KernelPool> {
    const arena = new Arena();
    return new KernelPool(arena, await Threads.start(arena.memory, threads));
  }

  /**
   * GPTQ's column loop for weights that share a Hessian: factorises it once, then rounds each weight.
   *
   * @param hessian - [columns, columns], symmetric, damped, in the order in which columns are visited
   * @returns a result for each problem; undefined if the Hessian is not positive definite
   */
  roundColumns(hessian: Float64Array, problems: readonly ColumnProblem[]): Promise<RoundedColumns[] | undefined> {
    return this.#enqueue(() =>
      this.arena.scoped(async () => {
        const factor = await factorize(this.arena, this.threads, hessian);
        if (!factor) return undefined;
        const results: RoundedColumns[] = [];
        for (const problem of problems) {
          results.push(await this.arena.scoped(() => roundColumns(this.arena, this.threads, factor, problem)));
        }
        return results;
      }),
    );
  }

  /** Stops the threads. */
  async close(): Promise<void> {
    await this.#last.catch(() => undefined);
    await this.threads.stop();
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.catch(() => undefined).then(work);
    this.#last = result;
    return result;
  }
}
