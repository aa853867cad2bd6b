/** Seconds for which something is repeated, at the least. */
const LEAST_SECONDS = 0.2;

/**
 * Seconds of the fastest of many runs, so that what else the machine does counts as little as it can. A few would tell of caches
 * and threads that are still asleep.
 */
export async function fastest(run: () => unknown, seconds = LEAST_SECONDS): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  const begin = performance.now();
  while (performance.now() - begin < 1000 * seconds) {
    const start = performance.now();
    await run();
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  return best;
}
