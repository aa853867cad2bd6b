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
