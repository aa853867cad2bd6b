/**
 * Packs rows of codes of one byte into streams of bits, low bits first: a code, plus `offset`, is the next `bits` bits of its
 * row, which begins `stride` bytes after the one before. Eight codes become `bits` bytes, in three steps that join neighbours.
 * What is left of a row, up to 8 bytes, becomes 0, and some bytes after it: the next row's, or nobody's.
 */
export function packBits(
  codes: usize,
  packed: usize,
  rows: usize,
  columns: usize,
  stride: usize,
  bits: i32,
  offset: i32,
): void {
  const added = i8x16.splat(<i8>offset);
  for (let row: usize = 0; row < rows; row++) {
    const from = codes + row * columns;
    let to = packed + row * stride;
    let column: usize = 0;
    for (; column + 16 <= columns; column += 16, to += bits << 1) {
      const joined = join(i8x16.add(v128.load(from + column), added), bits);
      v128.store64_lane(to, joined, 0);
      v128.store64_lane(to + bits, joined, 1);
    }
    for (; column < columns; column += 8, to += bits) {
      const left = columns - column;
      const beyond = left < 8 ? ~(((<u64>1) << ((<u64>left) << 3)) - 1) : 0;
      const some = i8x16.add(v128.load64_zero(from + column), added);
      v128.store64_lane(to, join(v128.andnot(some, i64x2.splat(beyond)), bits), 0);
    }
    store<u64>(to, 0);
  }
}

/** In each half, the lowest `bits` bits of eight bytes side by side, with zeros above: pairs of them, then fours, then all. */
function join(bytes: v128, bits: i32): v128 {
  const first = i16x8.splat(0xff);
  const pairs = v128.or(v128.and(bytes, first), i16x8.shr_u(v128.andnot(bytes, first), 8 - bits));
  const firstPair = i32x4.splat(0xffff);
  const fours = v128.or(v128.and(pairs, firstPair), i32x4.shr_u(v128.andnot(pairs, firstPair), 16 - 2 * bits));
  const firstFour = i64x2.splat(0xffffffff);
  return v128.or(v128.and(fours, firstFour), i64x2.shr_u(v128.andnot(fours, firstFour), 32 - 4 * bits));
}

/**
 * Reads rows of codes back from streams of bits, low bits first: the next `bits` bits of a row, less `offset`, are a code of one
 * byte. `bits` bytes become eight codes, in three steps that part neighbours. Up to 8 bytes after the last code are overwritten.
 */
export function unpackBits(
  packed: usize,
  codes: usize,
  rows: usize,
  columns: usize,
  stride: usize,
  bits: i32,
  offset: i32,
): void {
  const added = i8x16.splat(<i8>offset);
  for (let row: usize = 0; row < rows; row++) {
    let from = packed + row * stride;
    const to = codes + row * columns;
    let column: usize = 0;
    for (; column + 16 <= columns; column += 16, from += bits << 1) {
      const both = v128.load64_lane(from + bits, v128.load64_zero(from), 1);
      v128.store(to + column, i8x16.sub(part(both, bits), added));
    }
    for (; column < columns; column += 8, from += bits) {
      v128.store64_lane(to + column, i8x16.sub(part(v128.load64_zero(from), bits), added), 0);
    }
  }
}

/** In each half, the lowest 8 · `bits` bits as eight bytes: fours of codes, then pairs, then each in a byte with zeros above. */
function part(bytes: v128, bits: i32): v128 {
  const four = i64x2.splat(((<i64>1) << (4 * bits)) - 1);
  const fours = v128.or(v128.and(bytes, four), i64x2.shl(v128.and(bytes, i64x2.shl(four, 4 * bits)), 32 - 4 * bits));
  const pair = i32x4.splat((1 << (2 * bits)) - 1);
  const pairs = v128.or(v128.and(fours, pair), i32x4.shl(v128.and(fours, i32x4.shl(pair, 2 * bits)), 16 - 2 * bits));
  const one = i16x8.splat(<i16>(((<i32>1) << bits) - 1));
  return v128.or(v128.and(pairs, one), i16x8.shl(v128.and(pairs, i16x8.shl(one, bits)), 8 - bits));
}
