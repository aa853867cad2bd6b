/** Seconds of the fastest of a few runs, so that what else the machine does counts as little as it can. */
export async function fastest(run: () => unknown, times = 3): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < times; i++) {
    const start = performance.now();
    await run();
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  return best;
}
