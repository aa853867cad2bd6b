/** Runs a candidate on one batch: its error there, a sum over tokens. */
type ErrorOnBatch = (batch: number) => Promise<number>;

/** What is known of a candidate: its error on each batch so far. */
interface Runner {
  readonly candidate: number;
  readonly errors: number[];
}

/** Shares of the batches after which candidates that are clearly worse are given up. */
const ROUNDS: readonly number[] = [1 / 8, 3 / 8, 1];

/** Standard errors by which a candidate must be worse to be given up. */
const CLEARLY = 4;

/** The least spread of the excess from batch to batch that is believed: few batches may agree by chance. */
const LEAST_SPREAD = 0.05;

/**
 * The candidate with the least error over all batches; of equal ones the first; undefined if none has a finite one.
 *
 * A race (Maron and Moore, 1994): all are run on a few batches first, and those whose excess over the best, batch by batch,
 * shows them to be worse run no further. Errors are never negative, so that one that has passed the best's total
 * is out as well.
 *
 * @param enter - makes a candidate ready to run; called once a round for each that is left
 */
export async function race(
  candidates: number,
  batches: number,
  enter: (candidate: number) => ErrorOnBatch,
): Promise<number | undefined> {
  let runners: Runner[] = Array.from({ length: candidates }, (_, candidate) => ({ candidate, errors: [] }));
  for (const end of new Set(ROUNDS.map((share) => Math.ceil(share * batches)))) {
    let least = Number.POSITIVE_INFINITY; // at the end of the round
    for (const runner of runners.toSorted(byTotal)) {
      const limit = end === batches ? least : Number.POSITIVE_INFINITY;
      await advance(runner, end, limit, enter(runner.candidate));
      if (runner.errors.length === end) least = Math.min(least, total(runner));
    }
    runners = runners.filter((runner) => runner.errors.length === end && total(runner) < Number.POSITIVE_INFINITY);
    const [best] = runners.toSorted(byTotal);
    if (!best) return undefined;
    runners = runners.filter((runner) => mayWin(runner, best));
  }
  return runners.sort(byTotal)[0].candidate;
}

/** Runs up to batch `end`, or until the total is past `limit`. */
async function advance(runner: Runner, end: number, limit: number, errorOn: ErrorOnBatch): Promise<void> {
  while (runner.errors.length < end && total(runner) <= limit) runner.errors.push(await errorOn(runner.errors.length));
}

/** Whether what has been seen leaves open that a candidate is better than the best so far. */
function mayWin({ errors }: Runner, best: Runner): boolean {
  const excess = errors.flatMap((error, batch) => (best.errors[batch] > 0 ? [error / best.errors[batch] - 1] : []));
  const mean = sum(excess) / excess.length;
  const squares = excess.map((value) => (value - mean) ** 2);
  const spread = Math.max(Math.sqrt(sum(squares) / Math.max(excess.length - 1, 1)), LEAST_SPREAD);
  return !(mean > (CLEARLY * spread) / Math.sqrt(excess.length));
}

/** Σ of the errors; infinite where one is not finite. */
function total({ errors }: Runner): number {
  const found = sum(errors);
  return Number.isFinite(found) ? found : Number.POSITIVE_INFINITY;
}

function sum(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0);
}

function byTotal(a: Runner, b: Runner): number {
  const [first, second] = [total(a), total(b)];
  return first === second ? a.candidate - b.candidate : first - second;
}
