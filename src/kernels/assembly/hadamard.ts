// Products with Hadamard matrices H = C ⊗ S, C a core of any order and S Sylvester's, of two row vectors at a time: [size, 2] of
// float64, a lane for each.

/**
 * Replaces pairs of vectors x by x H / √size.
 *
 * @param codes - [order / 4, order] bytes: bit k is set where row 4 · group + k of the core is negative in the column; unused for order 1
 * @param patterns - scratch memory, [order / 4, 16, 2] of float64
 */
export function multiplyHadamard(
  vectors: usize,
  pairs: usize,
  size: usize,
  order: usize,
  codes: usize,
  patterns: usize,
): void {
  const width = size / order;
  const scale = f64x2.splat(1 / Math.sqrt(<f64>size));
  for (let pair: usize = 0; pair < pairs; pair++) {
    const vector = vectors + ((pair * size) << 4);
    if (order > 1) {
      for (let inner: usize = 0; inner < width; inner++)
        multiplyCore(vector + (inner << 4), width << 4, order, codes, patterns);
    }
    for (let half: usize = 1; half < width; half *= 2) addAndSubtract(vector, size, half);
    for (let i: usize = 0; i < size; i++) v128.store(vector + (i << 4), f64x2.mul(v128.load(vector + (i << 4)), scale));
  }
}

/**
 * x C for values `step` bytes apart. The signs of four rows at a time have 16 patterns: their sums are made once, and each
 * column picks its own, which is a quarter of the additions.
 */
function multiplyCore(vector: usize, step: usize, order: usize, codes: usize, patterns: usize): void {
  const groups = order >> 2;
  for (let group: usize = 0; group < groups; group++)
    sumPatterns(vector + ((group * step) << 2), step, patterns + (group << 8));
  for (let column: usize = 0; column < order; column++) {
    let sum = f64x2.splat(0);
    let code = codes + column;
    let sums = patterns;
    for (let group: usize = 0; group < groups; group++) {
      sum = f64x2.add(sum, v128.load(sums + ((<usize>load<u8>(code)) << 4)));
      code += order;
      sums += 256;
    }
    v128.store(vector + column * step, sum);
  }
}

/** The sums of four values with all patterns of signs. */
function sumPatterns(values: usize, step: usize, sums: usize): void {
  const a = v128.load(values);
  const b = v128.load(values + step);
  const c = v128.load(values + 2 * step);
  const d = v128.load(values + 3 * step);
  const high = f64x2.add(c, d);
  const highLess = f64x2.sub(d, c);
  storeSums(sums, a, b, high);
  storeSums(sums + 64, a, b, highLess);
  storeSums(sums + 128, a, b, f64x2.neg(highLess));
  storeSums(sums + 192, a, b, f64x2.neg(high));
}

/** ±a ± b plus `more`, the signs of a and b as the two bits of the place. */
function storeSums(sums: usize, a: v128, b: v128, more: v128): void {
  const sum = f64x2.add(a, b);
  const difference = f64x2.sub(b, a);
  v128.store(sums, f64x2.add(sum, more));
  v128.store(sums, f64x2.add(difference, more), 16);
  v128.store(sums, f64x2.sub(more, difference), 32);
  v128.store(sums, f64x2.sub(more, sum), 48);
}

/** One level of the fast Walsh–Hadamard transform, in all blocks of 2 · half values. */
function addAndSubtract(vector: usize, size: usize, half: usize): void {
  const distance = half << 4;
  for (let block = vector; block < vector + (size << 4); block += 2 * distance) {
    for (let place = block; place < block + distance; place += 16) {
      const a = v128.load(place);
      const b = v128.load(place + distance);
      v128.store(place, f64x2.add(a, b));
      v128.store(place + distance, f64x2.sub(a, b));
    }
  }
}
