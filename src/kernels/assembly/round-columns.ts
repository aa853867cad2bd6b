// The column loop of GPTQ (arXiv:2210.17323) as back-substitution. With the columns in positions that are visited from the
// last to the first, and H = L Lᵀ in these positions, the reference's U = cholesky(H⁻¹) is the inverse of L with both sides
// reversed, and carrying each error to the columns still to come is the same as
//   w = W[p] + Σ_{k>p} D[k] L[k, p] / L[p, p],   q = quantise(w),   D[p] = W[p] − dequantise(q),
// which needs no inverse. Rows of W are independent; eight at a time are worked on, two vectors of four.

const ROWS: usize = 8;
/** Positions whose common part of the sum is computed before they are rounded one by one. */
const BLOCK: usize = 32;

/**
 * Rounds rows `begin` to `end`, a multiple of eight each but for the last, of the `width` columns in one block of positions.
 *
 * weight, codes: [rows, n], columns in their own order; order: the column in each position of the block; group: index of
 * each column's scale; scale and zero: [groups, lanes] in float32; pruned: [rows, n] bytes, 1 for a weight that is zero and
 * stays so, or 0 for none; factor: [p, k] is L[k, p] inside the block;
 * correction: [width, lanes], Σ D[k] L[k, p] over the positions after the block, replaced by D; loss: float64, one a row;
 * scratch: room for 3 · width · 8 float32. lowest, highest: numbers that have codes; fraction: bits of a float's fraction, 0 for
 * integers; smallest: the least float that is not subnormal.
 */
export function roundBlock(
  weight: usize,
  order: usize,
  group: usize,
  scale: usize,
  zero: usize,
  pruned: usize,
  factor: usize,
  correction: usize,
  codes: usize,
  loss: usize,
  scratch: usize,
  n: usize,
  lanes: usize,
  rows: usize,
  width: usize,
  lowest: f32,
  highest: f32,
  smallest: f32,
  fraction: u32,
  begin: usize,
  end: usize,
): void {
  const original = scratch; // W[position, row]; once a position is rounded, its codes
  const difference = original + ((width * ROWS) << 2); // D[position, row]
  const sums = difference + ((width * ROWS) << 2); // Σ D L; once a position is rounded, its error · L[p, p]
  for (let row = begin; row < end; row += ROWS) {
    gather(weight, n, order, row, rows, width, original);
    let stop = width;
    while (stop > 0) {
      const start = stop > BLOCK ? stop - BLOCK : 0;
      sumBlock(sums, difference, factor, correction + (row << 2), lanes, width, start, stop);
      for (let p = stop; p-- > start; ) {
        const column = <usize>load<u32>(order + (p << 2));
        const place = (<usize>load<u32>(group + (column << 2)) * lanes + row) << 2;
        roundPosition(
          original,
          difference,
          sums,
          factor,
          scale + place,
          zero + place,
          width,
          p,
          stop,
          lowest,
          highest,
          smallest,
          fraction,
        );
        if (pruned != 0) {
          const marks = pruned + row * n + column;
          clearPruned(
            marks,
            original,
            difference,
            sums,
            factor,
            scale + place,
            zero + place,
            n,
            width,
            p,
            min(ROWS, rows - row),
          );
        }
      }
      stop = start;
    }
    if (fraction > 0) encodeFloats(original, width, smallest, fraction);
    scatter(original, difference, sums, order, correction, codes, loss, n, lanes, width, row, min(ROWS, rows - row));
  }
}

/** Eight rows of the weight, position by position; rows past the end repeat the last. */
export function gather(
  weight: usize,
  n: usize,
  order: usize,
  row: usize,
  rows: usize,
  width: usize,
  panel: usize,
): void {
  for (let lane: usize = 0; lane < ROWS; lane++) {
    const line = weight + ((min(row + lane, rows - 1) * n) << 2);
    for (let p: usize = 0; p < width; p++) {
      store<f32>(panel + ((p * ROWS + lane) << 2), load<f32>(line + ((<usize>load<u32>(order + (p << 2))) << 2)));
    }
  }
}

/** sums[p] = correction[p] + Σ_{k≥stop} L[k, p] · D[k] for the positions `start` to `stop`: four at once. */
export function sumBlock(
  sums: usize,
  difference: usize,
  factor: usize,
  correction: usize,
  lanes: usize,
  width: usize,
  start: usize,
  stop: usize,
): void {
  let p = start;
  for (; p + 4 <= stop; p += 4) {
    const line0 = factor + ((p * width) << 2);
    const line1 = line0 + (width << 2);
    const line2 = line1 + (width << 2);
    const line3 = line2 + (width << 2);
    const from0 = correction + ((p * lanes) << 2);
    const from1 = from0 + (lanes << 2);
    const from2 = from1 + (lanes << 2);
    const from3 = from2 + (lanes << 2);
    let a0 = v128.load(from0);
    let b0 = v128.load(from0, 16);
    let a1 = v128.load(from1);
    let b1 = v128.load(from1, 16);
    let a2 = v128.load(from2);
    let b2 = v128.load(from2, 16);
    let a3 = v128.load(from3);
    let b3 = v128.load(from3, 16);
    for (let k = stop; k < width; k++) {
      const a = v128.load(difference + ((k * ROWS) << 2));
      const b = v128.load(difference + ((k * ROWS) << 2), 16);
      const l0 = v128.load32_splat(line0 + (k << 2));
      a0 = f32x4.add(a0, f32x4.mul(l0, a));
      b0 = f32x4.add(b0, f32x4.mul(l0, b));
      const l1 = v128.load32_splat(line1 + (k << 2));
      a1 = f32x4.add(a1, f32x4.mul(l1, a));
      b1 = f32x4.add(b1, f32x4.mul(l1, b));
      const l2 = v128.load32_splat(line2 + (k << 2));
      a2 = f32x4.add(a2, f32x4.mul(l2, a));
      b2 = f32x4.add(b2, f32x4.mul(l2, b));
      const l3 = v128.load32_splat(line3 + (k << 2));
      a3 = f32x4.add(a3, f32x4.mul(l3, a));
      b3 = f32x4.add(b3, f32x4.mul(l3, b));
    }
    const place = sums + ((p * ROWS) << 2);
    v128.store(place, a0);
    v128.store(place, b0, 16);
    v128.store(place, a1, 32);
    v128.store(place, b1, 48);
    v128.store(place, a2, 64);
    v128.store(place, b2, 80);
    v128.store(place, a3, 96);
    v128.store(place, b3, 112);
  }
  for (; p < stop; p++) {
    const line = factor + ((p * width) << 2);
    let a = v128.load(correction + ((p * lanes) << 2));
    let b = v128.load(correction + ((p * lanes) << 2), 16);
    for (let k = stop; k < width; k++) {
      const l = v128.load32_splat(line + (k << 2));
      a = f32x4.add(a, f32x4.mul(l, v128.load(difference + ((k * ROWS) << 2))));
      b = f32x4.add(b, f32x4.mul(l, v128.load(difference + ((k * ROWS) << 2), 16)));
    }
    v128.store(sums + ((p * ROWS) << 2), a);
    v128.store(sums + ((p * ROWS) << 2), b, 16);
  }
}

/** Rounds position p of eight rows, those from p + 1 to `stop` being rounded. */
function roundPosition(
  original: usize,
  difference: usize,
  sums: usize,
  factor: usize,
  scale: usize,
  zero: usize,
  width: usize,
  p: usize,
  stop: usize,
  lowest: f32,
  highest: f32,
  smallest: f32,
  fraction: u32,
): void {
  const line = factor + ((p * width) << 2);
  const place = (p * ROWS) << 2;
  let sum0 = v128.load(sums + place);
  let sum1 = v128.load(sums + place, 16);
  for (let k = p + 1; k < stop; k++) {
    const l = v128.load32_splat(line + (k << 2));
    sum0 = f32x4.add(sum0, f32x4.mul(l, v128.load(difference + ((k * ROWS) << 2))));
    sum1 = f32x4.add(sum1, f32x4.mul(l, v128.load(difference + ((k * ROWS) << 2), 16)));
  }
  const diagonal = f32x4.splat(load<f32>(line + (p << 2)));
  for (let half: usize = 0; half < 2; half++) {
    const shift = half << 4;
    const w = v128.load(original + place + shift);
    const target = f32x4.add(w, f32x4.div(half == 0 ? sum0 : sum1, diagonal));
    const s = v128.load(scale + shift);
    const z = v128.load(zero + shift);
    const value = f32x4.add(f32x4.div(target, s), z);
    const clamped = f32x4.min(f32x4.max(value, f32x4.splat(lowest)), f32x4.splat(highest));
    const code = fraction == 0 ? f32x4.nearest(clamped) : nearestFloats(clamped, smallest, fraction);
    const decoded = f32x4.mul(f32x4.sub(code, z), s);
    v128.store(difference + place + shift, f32x4.sub(w, decoded));
    v128.store(sums + place + shift, f32x4.mul(f32x4.sub(target, decoded), diagonal));
    v128.store(original + place + shift, code);
  }
}

/** The floats nearest to four numbers, half to even: steps are a power of two of each number's own, those of `smallest` below it. */
function nearestFloats(values: v128, smallest: f32, fraction: u32): v128 {
  const powers = v128.and(values, i32x4.splat(0x7f800000));
  const steps = f32x4.mul(f32x4.max(powers, f32x4.splat(smallest)), f32x4.splat(1 / <f32>(1 << fraction)));
  return f32x4.mul(f32x4.nearest(f32x4.div(values, steps)), steps);
}

/** Puts the bits of floats, as numbers, in place of the floats; a zero has no sign. */
function encodeFloats(codes: usize, width: usize, smallest: f32, fraction: u32): void {
  const shift = 23 - fraction;
  const bias = (reinterpret<u32>(smallest) >> shift) - ((<u32>1) << fraction);
  const sign: f32 = fraction == 3 ? 128 : 8;
  for (let at = codes; at < codes + ((width * ROWS) << 2); at += 4) {
    const value = load<f32>(at);
    const magnitude = abs(value);
    const bits =
      magnitude < smallest
        ? (magnitude / smallest) * <f32>(1 << fraction)
        : <f32>((reinterpret<u32>(magnitude) >> shift) - bias);
    store<f32>(at, value < 0 ? bits + sign : bits);
  }
}

/** Undoes the rounding of position p where a weight is pruned: its code is that of zero, whatever was carried to it. */
function clearPruned(
  pruned: usize,
  original: usize,
  difference: usize,
  sums: usize,
  factor: usize,
  scale: usize,
  zero: usize,
  n: usize,
  width: usize,
  p: usize,
  count: usize,
): void {
  const diagonal = load<f32>(factor + ((p * width + p) << 2));
  for (let lane: usize = 0; lane < count; lane++) {
    if (load<u8>(pruned + lane * n) == 0) continue;
    const shift = lane << 2;
    const place = ((p * ROWS) << 2) + shift;
    const z = load<f32>(zero + shift);
    const decoded = (load<f32>(original + place) - z) * load<f32>(scale + shift);
    store<f32>(original + place, z);
    store<f32>(difference + place, load<f32>(difference + place) + decoded);
    store<f32>(sums + place, load<f32>(sums + place) + decoded * diagonal);
  }
}

/** Hands out what became of eight rows: D in place of the correction, codes, and ½ error² added to the loss. */
function scatter(
  original: usize,
  difference: usize,
  sums: usize,
  order: usize,
  correction: usize,
  codes: usize,
  loss: usize,
  n: usize,
  lanes: usize,
  width: usize,
  row: usize,
  count: usize,
): void {
  storeDifference(difference, correction, lanes, width, row);
  for (let lane: usize = 0; lane < count; lane++) {
    const line = codes + (row + lane) * n;
    let sum = load<f64>(loss + ((row + lane) << 3));
    for (let p: usize = 0; p < width; p++) {
      store<i8>(line + load<u32>(order + (p << 2)), <i8>(<i32>load<f32>(original + ((p * ROWS + lane) << 2))));
      const error = <f64>load<f32>(sums + ((p * ROWS + lane) << 2));
      sum += (error * error) / 2;
    }
    store<f64>(loss + ((row + lane) << 3), sum);
  }
}

/** D of eight rows, in place of the correction. */
export function storeDifference(difference: usize, correction: usize, lanes: usize, width: usize, row: usize): void {
  for (let p: usize = 0; p < width; p++) {
    const to = correction + ((p * lanes + row) << 2);
    v128.store(to, v128.load(difference + ((p * ROWS) << 2)));
    v128.store(to, v128.load(difference + ((p * ROWS) << 2), 16), 16);
  }
}
