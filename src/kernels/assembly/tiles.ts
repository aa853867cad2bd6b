// Loops over a matrix whose elements share scales in tiles of some rows and columns, cut at its edges. A kernel works on whole
// rows; those of the first tile may have begun `phase` rows before. Four elements at a time; a run may be read and written
// past its end, where the next one is written after it.

import { decode, encode } from "./codes";
import { roundTo } from "./rounding";

/** What is beside x, [rows, columns] of float32: one of each of these for a tile. */
export function tileExtremes(
  x: usize,
  smallest: usize,
  largest: usize,
  phase: usize,
  rows: usize,
  columns: usize,
  tileRows: usize,
  tileColumns: usize,
): void {
  const tiles = (columns + tileColumns - 1) / tileColumns;
  for (let row: usize = 0; row < rows; row++) {
    const line = ((phase + row) / tileRows) * tiles;
    for (let tile: usize = 0; tile < tiles; tile++) {
      const start = tile * tileColumns;
      const place = (line + tile) << 2;
      runExtremes(
        x + ((row * columns + start) << 2),
        min(tileColumns, columns - start),
        smallest + place,
        largest + place,
      );
    }
  }
}

/** Takes a run into a minimum and a maximum; both become NaN if an element is. */
function runExtremes(x: usize, count: usize, smallest: usize, largest: usize): void {
  let low0 = v128.load32_splat(smallest);
  let high0 = v128.load32_splat(largest);
  let low1 = low0;
  let high1 = high0;
  let unordered = v128.or(f32x4.ne(low0, low0), f32x4.ne(high0, high0)); // lanes in which there was a NaN
  let i: usize = 0;
  for (; i + 8 <= count; i += 8) {
    const some = v128.load(x + (i << 2));
    const others = v128.load(x + (i << 2), 16);
    low0 = f32x4.pmin(low0, some);
    low1 = f32x4.pmin(low1, others);
    high0 = f32x4.pmax(high0, some);
    high1 = f32x4.pmax(high1, others);
    unordered = v128.or(unordered, v128.or(f32x4.ne(some, some), f32x4.ne(others, others)));
  }
  for (; i < count; i++) {
    const value = v128.load32_splat(x + (i << 2));
    low0 = f32x4.pmin(low0, value);
    high0 = f32x4.pmax(high0, value);
    unordered = v128.or(unordered, f32x4.ne(value, value));
  }
  const low = f32x4.pmin(low0, low1);
  const high = f32x4.pmax(high0, high1);
  if (v128.any_true(unordered)) {
    store<f32>(smallest, NaN);
    store<f32>(largest, NaN);
    return;
  }
  const lows = f32x4.pmin(low, i8x16.shuffle(low, low, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  const highs = f32x4.pmax(high, i8x16.shuffle(high, high, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  store<f32>(smallest, min(f32x4.extract_lane(lows, 0), f32x4.extract_lane(lows, 1)));
  store<f32>(largest, max(f32x4.extract_lane(highs, 0), f32x4.extract_lane(highs, 1)));
}

/**
 * Codes of x: clamp(x / scale + zero), rounded to `dtype` (0 F32, 1 BF16, 2 F16) after each operation; `kind` as in codes.ts.
 */
export function encodeTiles(
  x: usize,
  codes: usize,
  scale: usize,
  zero: usize,
  phase: usize,
  rows: usize,
  columns: usize,
  tileRows: usize,
  tileColumns: usize,
  dtype: i32,
  kind: i32,
  lowest: f32,
  highest: f32,
): void {
  forTiles(true, x, codes, scale, zero, phase, rows, columns, tileRows, tileColumns, dtype, kind, lowest, highest);
}

/** What codes stand for: (number − zero) · scale, rounded to `dtype`. */
export function decodeTiles(
  codes: usize,
  x: usize,
  scale: usize,
  zero: usize,
  phase: usize,
  rows: usize,
  columns: usize,
  tileRows: usize,
  tileColumns: usize,
  dtype: i32,
  kind: i32,
): void {
  forTiles(false, x, codes, scale, zero, phase, rows, columns, tileRows, tileColumns, dtype, kind, 0, 0);
}

/** Encodes or decodes every run of elements with the scale and the zero point of its tile. */
function forTiles(
  encodes: bool,
  x: usize,
  codes: usize,
  scale: usize,
  zero: usize,
  phase: usize,
  rows: usize,
  columns: usize,
  tileRows: usize,
  tileColumns: usize,
  dtype: i32,
  kind: i32,
  lowest: f32,
  highest: f32,
): void {
  const tiles = (columns + tileColumns - 1) / tileColumns;
  for (let row: usize = 0; row < rows; row++) {
    const line = ((phase + row) / tileRows) * tiles;
    for (let tile: usize = 0; tile < tiles; tile++) {
      const start = tile * tileColumns;
      const from = x + ((row * columns + start) << 2);
      const to = codes + row * columns + start;
      const place = (line + tile) << 2;
      const count = min(tileColumns, columns - start);
      const s = v128.load32_splat(scale + place);
      const z = v128.load32_splat(zero + place);
      if (dtype == 0) codeRun<f32>(encodes, from, to, count, s, z, kind, lowest, highest);
      else if (dtype == 1) codeRun<u16>(encodes, from, to, count, s, z, kind, lowest, highest);
      else codeRun<i16>(encodes, from, to, count, s, z, kind, lowest, highest);
    }
  }
}

function codeRun<T>(
  encodes: bool,
  x: usize,
  codes: usize,
  count: usize,
  scale: v128,
  zero: v128,
  kind: i32,
  lowest: f32,
  highest: f32,
): void {
  if (encodes) encodeRun<T>(x, codes, count, scale, zero, kind, f32x4.splat(lowest), f32x4.splat(highest));
  else decodeRun<T>(codes, x, count, scale, zero, kind);
}

function encodeRun<T>(
  x: usize,
  codes: usize,
  count: usize,
  scale: v128,
  zero: v128,
  kind: i32,
  lowest: v128,
  highest: v128,
): void {
  for (let i: usize = 0; i < count; i += 4) {
    const bytes = encodeFour<T>(v128.load(x + (i << 2)), scale, zero, kind, lowest, highest);
    store<i32>(codes + i, i32x4.extract_lane(bytes, 0));
  }
}

/** Codes of four elements, in the lowest bytes; T stands for a dtype as roundTo has it. */
export function encodeFour<T>(x: v128, scale: v128, zero: v128, kind: i32, lowest: v128, highest: v128): v128 {
  const shifted = roundTo<T>(f32x4.add(roundTo<T>(f32x4.div(x, scale)), zero));
  const words = encode(f32x4.pmin(f32x4.pmax(shifted, lowest), highest), kind);
  return i8x16.shuffle(words, words, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12);
}

/** What four codes stand for. */
export function decodeFour<T>(codes: v128, scale: v128, zero: v128, kind: i32): v128 {
  return roundTo<T>(f32x4.mul(f32x4.sub(decode(codes, kind), zero), scale));
}

function decodeRun<T>(codes: usize, x: usize, count: usize, scale: v128, zero: v128, kind: i32): void {
  for (let i: usize = 0; i < count; i += 4) {
    v128.store(x + (i << 2), decodeFour<T>(v128.load32_zero(codes + i), scale, zero, kind));
  }
}
