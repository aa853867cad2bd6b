/** Neighbours of a row that share a scale, and what an error of each counts. */
export interface WeighedGroup {
  readonly values: Float32Array;
  /** As many, above zero wherever an error counts. */
  readonly importance: Float32Array;
}

/** The codes that there are. */
export interface GridCodes {
  /** The largest; the smallest is 0. */
  readonly levels: number;
  /** The least and the largest code that may stand for zero. */
  readonly zeros: readonly [least: number, most: number];
}

/** Numbers that a group can take: scale · (code − zero). */
export interface Grid {
  readonly scale: number;
  /** The code of zero, a whole number. */
  readonly zero: number;
}

/** Shares of the whole range that are tried. */
const SHARES = Array.from({ length: 12 }, (_, step) => 1.1 - 0.05 * step);

/**
 * The grid with about the smallest Σ importance · (w − its nearest number)². For each share of the range, and each zero next to
 * where it puts zero, the scale is the best one for the codes that it gives: Σ h w c / Σ h c² for c = code − zero.
 */
export function fitGrid(group: WeighedGroup, { levels, zeros }: GridCodes): Grid {
  const [low, high] = rangeOf(group.values);
  const isSymmetric = zeros[0] === zeros[1];
  const step = (isSymmetric ? 2 * Math.max(-low, high) : high - low) / levels;
  const place = clamp(step > 0 ? -low / step : 0, zeros);
  let [best, most]: [Grid, number] = [{ scale: step, zero: Math.round(place) }, 0];
  if (step === 0) return best;
  for (const zero of new Set([Math.floor(place), Math.ceil(place)])) {
    for (const share of SHARES) {
      const { along, square } = momentsOf(group, { scale: share * step, zero }, levels);
      const gain = square > 0 && along > 0 ? (along * along) / square : 0;
      if (gain <= most) continue;
      most = gain;
      best = { scale: along / square, zero };
    }
  }
  return best;
}

/** Σ importance · error² of a group whose codes decode to scale · code − offset. */
export function errorOf(
  { values, importance }: WeighedGroup,
  { scale, zero }: Grid,
  { levels }: GridCodes,
  offset = scale * zero,
): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const code = Math.min(Math.max(Math.round(values[i] / scale) + zero, 0), levels);
    const error = scale * code - offset - values[i];
    sum += importance[i] * error * error;
  }
  return sum;
}

/** Σ h w c and Σ h c² of the codes c, less zero's, that a grid gives. */
function momentsOf({ values, importance }: WeighedGroup, { scale, zero }: Grid, levels: number) {
  let [along, square] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    const code = Math.min(Math.max(Math.round(values[i] / scale), -zero), levels - zero);
    along += importance[i] * values[i] * code;
    square += importance[i] * code * code;
  }
  return { along, square };
}

/** The smallest and the largest value, and zero. */
function rangeOf(values: Float32Array): [low: number, high: number] {
  let [low, high] = [0, 0];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return [low, high];
}

function clamp(value: number, [least, most]: readonly [number, number]): number {
  return Math.min(Math.max(value, least), most);
}
