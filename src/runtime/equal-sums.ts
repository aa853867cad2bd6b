/**
 * Threads, at most `threads`, that do not change any sum of a product [m, k] · [k, n] in float32.
 *
 * ONNX Runtime's library of kernels shares the columns of the result out over threads where there are more of them than
 * rows, sixteen at a time; a share of 64 columns or fewer is summed in other blocks of k than a larger one.
 */
export function threadsWithEqualSums(m: number, n: number, threads: number): number {
  if (m >= n) return threads; // rows are shared out, and summed alike however few there are
  return Math.max(1, Math.min(threads, Math.floor(Math.ceil(n / SHARE) / LEAST_SHARES)));
}

/** Columns that a thread's share is a multiple of, and how many times that it must be. */
const [SHARE, LEAST_SHARES] = [16, 5];
