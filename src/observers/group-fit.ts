/** Neighbours of a row that share a scale, and what an error of each counts. */
export interface WeighedGroup {
  readonly values: Float32Array;
  /** As many, all above zero. */
  readonly importance: Float32Array;
}

/** Numbers that a group can take: scale · code − offset, for whole codes from 0 on. */
export interface Grid {
  readonly scale: number;
  /** At least 0, so that zero is no smaller than the smallest number. */
  readonly offset: number;
}

/** The codes that there are. */
export interface GridCodes {
  /** The largest. */
  readonly levels: number;
  /** The code of zero, where it is the same in all groups; else the offset is free. */
  readonly zero?: number;
}

/** Shares of the whole range that are tried. */
const SHARES = Array.from({ length: 12 }, (_, step) => 1.05 - 0.05 * step);

/**
 * The grid with about the smallest Σ h (w − its nearest number)², h the importance. Each share of the range gives codes, and these
 * the scale and the offset with the smallest error for them, by least squares.
 */
export function fitGrid(group: WeighedGroup, codes: GridCodes): Grid {
  const [low, high] = rangeOf(group.values);
  const { levels, zero } = codes;
  const scale = zero === undefined ? (high - low) / levels : (2 * Math.max(-low, high)) / levels;
  const whole = { scale, offset: zero === undefined ? -low : zero * scale };
  if (scale === 0) return whole;
  let [best, least] = [whole, Number.POSITIVE_INFINITY];
  for (const share of SHARES) {
    const moments = momentsOf(group, { scale: share * scale, offset: share * whole.offset }, levels);
    const grid = solve(moments, codes);
    const error = errorFrom(moments, grid);
    if (error < least) [best, least] = [grid, error];
  }
  return best;
}

/** Σ h (w − its nearest number)² in a grid. */
export function errorOf({ values, importance }: WeighedGroup, { scale, offset }: Grid, levels: number): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const code = Math.min(Math.max(Math.round((values[i] + offset) / scale), 0), levels);
    const error = scale * code - offset - values[i];
    sum += importance[i] * error * error;
  }
  return sum;
}

/** Sums over a group with weights w and their codes c, all weighted by h. */
interface Moments {
  readonly h: number;
  readonly c: number;
  readonly cc: number;
  readonly w: number;
  readonly wc: number;
  readonly ww: number;
}

function momentsOf({ values, importance }: WeighedGroup, { scale, offset }: Grid, levels: number): Moments {
  let [h, c, cc, w, wc, ww] = [0, 0, 0, 0, 0, 0];
  for (let i = 0; i < values.length; i++) {
    const [weight, value] = [importance[i], values[i]];
    const code = Math.min(Math.max(Math.round((value + offset) / scale), 0), levels);
    h += weight;
    c += weight * code;
    cc += weight * code * code;
    w += weight * value;
    wc += weight * value * code;
    ww += weight * value * value;
  }
  return { h, c, cc, w, wc, ww };
}

/** The best grid for given codes. */
function solve({ h, c, cc, w, wc }: Moments, { zero }: GridCodes): Grid {
  if (zero !== undefined) return throughZero(wc - zero * w, cc - 2 * zero * c + zero * zero * h, zero);
  const scale = (h * wc - c * w) / (h * cc - c * c);
  const offset = (c * scale - w) / h;
  return offset >= 0 ? { scale, offset } : throughZero(wc, cc, 0);
}

function throughZero(along: number, square: number, zero: number): Grid {
  const scale = along / square;
  return { scale, offset: zero * scale };
}

/** Σ h (w − scale · c + offset)². NaN, which is less than nothing, where codes say nothing of the scale. */
function errorFrom({ h, c, cc, w, wc, ww }: Moments, { scale, offset }: Grid): number {
  return ww + scale * scale * cc + offset * offset * h - 2 * (scale * wc - offset * w + scale * offset * c);
}

/** The smallest and the largest value, and zero. */
function rangeOf(values: Float32Array): [low: number, high: number] {
  let [low, high] = [0, 0];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return [low, high];
}
