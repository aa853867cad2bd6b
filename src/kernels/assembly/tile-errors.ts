// What rounding loses under the scale of each tile: the inner loop of a search over ranges. Tiles are those of tiles.ts.

import { roundTo } from "./rounding";
import { decodeFour, encodeFour } from "./tiles";

/** Powers are tabulated up to so many units, in so many steps for each. */
const UNITS: f64 = 4;
const STEPS: f64 = 4096;
/** No error that counts has so many steps, and an infinite one would be halved for ever. */
const MOST_STEPS: f64 = 1099511627776;

/**
 * Adds Σ |Q(x) − x|^norm · importance to the error of each tile, a float64. Codes are those of encodeTiles; each term is
 * rounded to `errorDtype`, the tile's dtype or F32.
 *
 * @param importance - one a column, or 0
 * @param unit - about the size of a step between codes, float64, one a tile; then its power, likewise
 * @param powers - 2^norm, then (step / STEPS)^norm for each step up to UNITS and one more: float64; where norm is whole it is
 * not read
 */
export function tileErrors(
  x: usize,
  importance: usize,
  scale: usize,
  zero: usize,
  unit: usize,
  powers: usize,
  errors: usize,
  phase: usize,
  rows: usize,
  columns: usize,
  tileRows: usize,
  tileColumns: usize,
  tileCount: usize,
  dtype: i32,
  errorDtype: i32,
  kind: i32,
  lowest: f32,
  highest: f32,
  norm: f64,
): void {
  const tiles = (columns + tileColumns - 1) / tileColumns;
  for (let row: usize = 0; row < rows; row++) {
    const line = ((phase + row) / tileRows) * tiles;
    for (let tile: usize = 0; tile < tiles; tile++) {
      const start = tile * tileColumns;
      const place = line + tile;
      const from = x + ((row * columns + start) << 2);
      const weights: usize = importance == 0 ? 0 : importance + (start << 2);
      const count = min(tileColumns, columns - start);
      const s = v128.load32_splat(scale + (place << 2));
      const z = v128.load32_splat(zero + (place << 2));
      const low = f32x4.splat(lowest);
      const high = f32x4.splat(highest);
      const steps = STEPS / load<f64>(unit + (place << 3));
      const power = load<f64>(unit + ((tileCount + place) << 3));
      let error: f64;
      if (dtype == 0)
        error = runError<f32, f32>(from, weights, count, s, z, kind, low, high, norm, powers, steps, power);
      else if (dtype == 1)
        error =
          errorDtype == 0
            ? runError<u16, f32>(from, weights, count, s, z, kind, low, high, norm, powers, steps, power)
            : runError<u16, u16>(from, weights, count, s, z, kind, low, high, norm, powers, steps, power);
      else
        error =
          errorDtype == 0
            ? runError<i16, f32>(from, weights, count, s, z, kind, low, high, norm, powers, steps, power)
            : runError<i16, i16>(from, weights, count, s, z, kind, low, high, norm, powers, steps, power);
      store<f64>(errors + (place << 3), load<f64>(errors + (place << 3)) + error);
    }
  }
}

/** Σ |Q(x) − x|^norm · importance over a run; T and E stand for dtypes as roundTo has them. */
function runError<T, E>(
  x: usize,
  importance: usize,
  count: usize,
  scale: v128,
  zero: v128,
  kind: i32,
  lowest: v128,
  highest: v128,
  norm: f64,
  powers: usize,
  steps: f64,
  unitPower: f64,
): f64 {
  let sum = f64x2.splat(0);
  const isWhole = norm == floor(norm);
  for (let i: usize = 0; i < count; i += 4) {
    const values = v128.load(x + (i << 2));
    const codes = encodeFour<T>(values, scale, zero, kind, lowest, highest);
    const error = f32x4.abs(roundTo<E>(f32x4.sub(decodeFour<T>(codes, scale, zero, kind), values)));
    const raised = isWhole ? wholePowers(error, norm) : powersByTable(error, powers, steps, unitPower);
    let terms = roundTo<E>(raised);
    if (importance != 0) terms = f32x4.mul(terms, v128.load(importance + (i << 2)));
    if (i + 4 > count) terms = v128.and(terms, i32x4.lt_s(i32x4(0, 1, 2, 3), i32x4.splat(<i32>(count - i))));
    sum = f64x2.add(sum, f64x2.add(f64x2.promote_low_f32x4(terms), f64x2.promote_low_f32x4(upperHalf(terms))));
  }
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
}

function wholePowers(errors: v128, norm: f64): v128 {
  const low = f64x2.promote_low_f32x4(errors);
  const high = f64x2.promote_low_f32x4(upperHalf(errors));
  let powers0 = low;
  let powers1 = high;
  for (let exponent: f64 = 1; exponent < norm; exponent++) {
    powers0 = f64x2.mul(powers0, low);
    powers1 = f64x2.mul(powers1, high);
  }
  const upper = f32x4.demote_f64x2_zero(powers1);
  return i64x2.replace_lane(f32x4.demote_f64x2_zero(powers0), 1, i64x2.extract_lane(upper, 0));
}

function powersByTable(errors: v128, powers: usize, steps: f64, unitPower: f64): v128 {
  const first = powerByTable(f32x4.extract_lane(errors, 0), powers, steps, unitPower);
  const second = powerByTable(f32x4.extract_lane(errors, 1), powers, steps, unitPower);
  const third = powerByTable(f32x4.extract_lane(errors, 2), powers, steps, unitPower);
  const fourth = powerByTable(f32x4.extract_lane(errors, 3), powers, steps, unitPower);
  const half = f32x4.replace_lane(f32x4.splat(first), 1, second);
  return f32x4.replace_lane(f32x4.replace_lane(half, 2, third), 3, fourth);
}

/** Interpolated between two entries: the sum over a run of errors of up to half a unit is off by less than 1e-7 of itself. */
function powerByTable(error: f32, powers: usize, stepsOfOne: f64, unitPower: f64): f32 {
  let steps = min(<f64>error * stepsOfOne, MOST_STEPS);
  let power = unitPower;
  while (steps >= UNITS * STEPS) {
    steps *= 0.5;
    power *= load<f64>(powers);
  }
  const step = floor(steps);
  const entry = powers + 8 + ((<usize>steps) << 3);
  const below = load<f64>(entry);
  return <f32>((below + (load<f64>(entry, 8) - below) * (steps - step)) * power);
}

function upperHalf(x: v128): v128 {
  return i8x16.shuffle(x, x, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
}
