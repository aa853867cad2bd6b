/** A figure of one module in dB, more of which is better. */
interface Measured {
  readonly path: string;
  /** What its peers have in common beside the pattern of their paths: how they are quantized. */
  readonly kind?: string;
  readonly value: number;
}

/** A figure far below those of its peers. */
interface Outlier extends Measured {
  /** What is usual among them. */
  readonly typical: number;
}

/** Deviations, in the scale of a normal distribution's, from which on a figure is out of line. */
const DEVIATIONS = 6;
/** Median absolute deviation → standard deviation of a normal distribution. */
const TO_SIGMA = 1.4826;
/** What stands for NaN: the worst of all. */
const NOT_A_NUMBER = -1e9;
/** Differences among figures as good as this mean nothing. */
const AS_GOOD_AS_EXACT = 60;

/**
 * The figures that are far worse than those of their peers, which have the same path but for numbers: the same linear in
 * other layers, other experts. Far is six standard deviations below the median, estimated by the median absolute deviation,
 * and at least `floor`. Of an even number of peers the better of the two middle ones is the median, and the smaller the
 * deviation: so even half of them may be bad.
 *
 * @param floor - in dB: what ordinary models have between layers
 */
export function findOutliers(measured: readonly Measured[], floor: number): Outlier[] {
  return groupPeers(measured).flatMap((peers) => {
    const values = peers.map(({ value }) => (value > NOT_A_NUMBER ? Math.min(value, AS_GOOD_AS_EXACT) : NOT_A_NUMBER));
    const typical = median(values);
    const deviations = values.map((value) => Math.abs(value - typical)).sort((a, b) => a - b);
    const sigma = TO_SIGMA * deviations[Math.floor((values.length - 1) / 2)];
    const limit = typical - Math.max(floor, DEVIATIONS * sigma);
    return peers.filter(({ value }) => !(value >= limit)).map((peer) => ({ ...peer, typical }));
  });
}

/** The middle one of some values; of two, the larger. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** Figures of modules of one kind, together. */
function groupPeers(measured: readonly Measured[]): Measured[][] {
  const groups = new Map<string, Measured[]>();
  for (const one of measured) {
    const key = `${peersOf(one.path)} ${one.kind ?? ""}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups.values()];
}

/** A path with a star for each number. */
export function peersOf(path: string): string {
  return path.replace(/(?<=^|[._])\d+(?=$|[._])/g, "*");
}
