import { Buffers } from "../tensor/buffers.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Arena } from "./arena.ts";
import { factorize, type KernelContext } from "./cholesky.ts";
import type { ColumnProblem } from "./column-problem.ts";
import { type LowerPanels, takeLowerPanels } from "./lower-panels.ts";
import type { MatrixProducts } from "./matrix-products.ts";
import { type PrunedColumns, type PruningProblem, pruneColumns } from "./prune-columns.ts";
import { quadraticForm } from "./quadratic-form.ts";
import {
  type RefinedColumns,
  type RefinementOptions,
  type RefinementProblem,
  refineColumns,
} from "./refine-columns.ts";
import { type RoundedColumns, roundColumns } from "./round-columns.ts";
import { joinRows, splitRows } from "./split-rows.ts";
import { Threads } from "./threads.ts";

/** WebAssembly kernels on a pool of threads, of which the calling one is one. One call at a time. */
export class KernelPool {
  #last: Promise<unknown> = Promise.resolve();

  private constructor(private readonly context: KernelContext) {}

  /**
   * @param products - what multiplies matrices for the kernels
   * @param threads - by default one for each core
   */
  static async create(products: MatrixProducts, { threads }: { threads?: number } = {}): Promise<KernelPool> {
    const arena = new Arena();
    const buffers = new Buffers();
    return new KernelPool({ arena, threads: await Threads.start(arena.memory, threads), products, buffers });
  }

  /** Room for the lower triangle of a matrix of `columns` columns, to be filled and handed to {@link roundColumns}. */
  takeLowerPanels(columns: number): LowerPanels {
    return takeLowerPanels(columns, this.context.buffers);
  }

  /**
   * GPTQ's column loop for weights that share a Hessian: factorises it once, then rounds each weight.
   *
   * @param hessian - damped, columns in the problems' positions; its panels are taken back
   * @returns a result for each problem; undefined if the Hessian is not positive definite
   */
  async roundColumns(hessian: LowerPanels, problems: readonly ColumnProblem[]): Promise<RoundedColumns[] | undefined> {
    const shares = problems.map((problem) => splitRows(problem, hessian.columns));
    const rounded = await this.#solve(hessian, shares.flat(), roundColumns);
    return rounded && shares.map(({ length }) => joinRows(rounded.splice(0, length)));
  }

  /**
   * SparseGPT's column loop for weights that share a Hessian: factorises it once, then prunes each weight.
   *
   * @param hessian - damped, columns from the last to the first; its panels are taken back
   * @returns a result for each problem; undefined if the Hessian is not positive definite
   */
  pruneColumns(hessian: LowerPanels, problems: readonly PruningProblem[]): Promise<PrunedColumns[] | undefined> {
    return this.#solve(hessian, problems, pruneColumns);
  }

  /** Makes the error of a rounded weight smaller, by coordinate descent: see {@link refineColumns}. */
  refineColumns(options: RefinementOptions, problem: RefinementProblem): Promise<RefinedColumns> {
    return this.#enqueue(() => this.context.arena.scoped(() => refineColumns(this.context, options, problem)));
  }

  /** trace(W M Wᵀ) of a matrix W [rows, columns] and a symmetric M [columns, columns]. */
  quadraticForm(matrix: Tensor<"F32">, symmetric: Tensor<"F32">): Promise<number> {
    return this.#enqueue(() => quadraticForm(this.context, matrix, symmetric));
  }

  /** Stops the threads. */
  async close(): Promise<void> {
    await this.#last.catch(() => undefined);
    await this.context.threads.stop();
  }

  /** Solves problems with the factor of a Hessian; undefined if there is none. */
  #solve<Problem, Result>(
    hessian: LowerPanels,
    problems: readonly Problem[],
    solve: (context: KernelContext, factor: LowerPanels, problems: readonly Problem[]) => Promise<Result[]>,
  ): Promise<Result[] | undefined> {
    return this.#enqueue(async () => {
      const isDefinite = await factorize(this.context, hessian);
      const results = isDefinite ? await solve(this.context, hessian, problems) : undefined;
      for (const { matrix } of hessian.panels) this.context.buffers.give(matrix);
      return results;
    });
  }

  #enqueue<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.catch(() => undefined).then(work);
    this.#last = result;
    return result;
  }
}
