import type { KernelContext } from "./cholesky.ts";
import type { Threads } from "./threads.ts";

/** Rows that a kernel works on at once. */
export const ROWS = 8;

/** Bytes before the numbers of each row, for what a kernel knows of them. */
const HEADER = 128;

/** The rows, begin to end, that each thread works on: a multiple of what a kernel works on at once; null for none. */
export function sharesOfRows(threads: Threads, rows: number): (thread: number) => [begin: number, end: number] | null {
  const panels = Math.ceil(rows / ROWS);
  const cut = (thread: number) => Math.min(rows, ROWS * Math.round((panels * thread) / threads.count));
  return (thread) => (cut(thread) < cut(thread + 1) ? [cut(thread), cut(thread + 1)] : null);
}

/** Addresses of memory for each thread's rows, `perRow` numbers of float32 each. */
export function takeScratch({ arena, threads }: KernelContext, perRow: number): number[] {
  return Array.from({ length: threads.count }, () => arena.take(HEADER + 4 * ROWS * perRow));
}
