import type { Arena } from "./arena.ts";
import type { Threads } from "./threads.ts";

/** Columns of one step: enough for the trailing update to dominate. */
const WIDTH = 64;

/** Rᵀ of H = R Rᵀ, R upper triangular, in float32 in the kernels' memory: [columns, columns], lower part only. */
export interface Factor {
  readonly address: number;
  readonly columns: number;
}

/**
 * Factorises H = R Rᵀ with R upper triangular, in float64: with J the reversal of indices and J H J = L Lᵀ, R is J L J.
 * R is the inverse of the factor that GPTQ takes of H⁻¹, and H is never inverted.
 *
 * @returns undefined if H is not positive definite
 */
export async function factorize(arena: Arena, threads: Threads, hessian: Float64Array): Promise<Factor | undefined> {
  const n = Math.sqrt(hessian.length);
  const transposed = arena.take(4 * n * n);
  return arena.scoped(async () => {
    const a = arena.take(8 * n * n);
    // Reversing the rows and the columns of a matrix reverses its elements.
    arena.view(Float64Array, a, n * n).set(hessian.toReversed());
    for (let start = 0; start < n; start += WIDTH) {
      const width = Math.min(WIDTH, n - start);
      if (!threads.here.factorDiagonal(a, n, start, width)) return undefined;
      const below = start + width;
      await threads.run("solvePanel", evenly(threads, below, n, [a, n, start, width]));
      await threads.run("updateTrailing", byArea(threads, below, n, [a, n, start, width]));
    }
    await threads.run("packFactor", byArea(threads, 0, n, [a, n, transposed]));
    return { address: transposed, columns: n };
  });
}

/** Rows `begin` to `end` in equal shares. */
function evenly(threads: Threads, begin: number, end: number, args: readonly number[]) {
  return shares(threads, begin, end, args, (part) => part);
}

/** Rows of a lower triangle in shares of equal area. */
function byArea(threads: Threads, begin: number, end: number, args: readonly number[]) {
  return shares(threads, begin, end, args, Math.sqrt);
}

function shares(
  threads: Threads,
  begin: number,
  end: number,
  args: readonly number[],
  place: (part: number) => number,
) {
  const cut = (index: number) => begin + Math.round((end - begin) * place(index / threads.count));
  return (thread: number) => (cut(thread) < cut(thread + 1) ? [...args, cut(thread), cut(thread + 1)] : null);
}
