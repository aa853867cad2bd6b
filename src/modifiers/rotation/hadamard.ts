import { RecipeError } from "../../errors.ts";
import type { MersenneTwister } from "./mersenne-twister.ts";
import { paleyMatrix } from "./paley.ts";

/** An orthogonal matrix R. */
export interface Rotation {
  readonly size: number;
  /** Replaces a row vector x by x R. */
  apply(vector: Float64Array): void;
}

/**
 * R = D H / √n, with H a Hadamard matrix of order n and D signs on the diagonal: H is Sylvester's for a power of two, else
 * the product of a {@link paleyMatrix} and the smallest power of two that there is one for. It multiplies in n log n steps
 * where n is a power of two (fast Walsh–Hadamard transform).
 */
export class HadamardRotation implements Rotation {
  readonly #order: number;
  /** For four rows of the core at a time, the signs of each column as four bits; then the same of its transpose. */
  readonly #columnCodes: Uint8Array;
  readonly #rowCodes: Uint8Array;
  readonly #sums: Float64Array;
  readonly #patternSums = new Float64Array(16);

  /**
   * @param signs - D, one for each row
   * @throws RecipeError for an order that none of the constructions gives
   */
  constructor(
    readonly size: number,
    private readonly signs: Float64Array = new Float64Array(size).fill(1),
  ) {
    const [order, core] = coreOf(size);
    this.#order = order;
    this.#columnCodes = signCodes(order, (row, column) => core[row * order + column]);
    this.#rowCodes = signCodes(order, (row, column) => core[column * order + row]);
    this.#sums = new Float64Array(order);
  }

  apply(vector: Float64Array): void {
    for (let i = 0; i < vector.length; i++) vector[i] *= this.signs[i];
    this.multiply(vector, false);
  }

  /** Replaces a row vector x by x H / √n, or by x Hᵀ / √n. */
  multiply(vector: Float64Array, transposed: boolean): void {
    if (this.#order > 1) this.#multiplyCore(vector, transposed);
    const width = this.size / this.#order;
    for (let start = 0; start < this.size; start += width) walshHadamard(vector, start, width);
    const scale = 1 / Math.sqrt(this.size);
    for (let i = 0; i < vector.length; i++) vector[i] *= scale;
  }

  /** The signs of R √n, row by row. */
  matrix(): Float64Array {
    const { size } = this;
    const matrix = new Float64Array(size * size);
    for (let row = 0; row < size; row++) {
      const values = matrix.subarray(row * size, (row + 1) * size);
      values[row] = 1;
      this.apply(values);
      for (let i = 0; i < size; i++) values[i] = Math.sign(values[i]);
    }
    return matrix;
  }

  /**
   * Multiplies along the outer of the two axes [order, width]. The signs of four rows at a time have 16 patterns: their sums are
   * made once, and each column picks its own, which is a quarter of the additions.
   */
  #multiplyCore(vector: Float64Array, transposed: boolean): void {
    const [order, width, sums, patterns] = [this.#order, this.size / this.#order, this.#sums, this.#patternSums];
    const codes = transposed ? this.#rowCodes : this.#columnCodes;
    for (let inner = 0; inner < width; inner++) {
      sums.fill(0);
      for (let i = 0; i < order; i += 4) {
        sumPatterns(patterns, vector, i * width + inner, width);
        const start = (i / 4) * order;
        for (let j = 0; j < order; j++) sums[j] += patterns[codes[start + j]];
      }
      for (let j = 0; j < order; j++) vector[j * width + inner] = sums[j];
    }
  }
}

/**
 * R = H D Hᵀ / n, which keeps the mean of a vector, as the first sign is made one and so is H's first column: what a norm
 * that subtracts means allows.
 */
export class MeanKeepingRotation implements Rotation {
  readonly #hadamard: HadamardRotation;

  constructor(
    readonly size: number,
    private readonly signs: Float64Array,
  ) {
    this.#hadamard = new HadamardRotation(size);
  }

  apply(vector: Float64Array): void {
    this.#hadamard.multiply(vector, false);
    for (let i = 1; i < vector.length; i++) vector[i] *= this.signs[i];
    this.#hadamard.multiply(vector, true);
  }
}

/** Makes the rotations of one scheme, of each size the same one; a random one depends on the sizes that were made before. */
export class RotationFactory {
  readonly #made = new Map<number, HadamardRotation>();

  /** @param generator - of the signs; without it there are none */
  constructor(private readonly generator?: MersenneTwister) {}

  /** @throws RecipeError for a size that there is no Hadamard matrix for */
  create(size: number): HadamardRotation {
    const made = this.#made.get(size) ?? new HadamardRotation(size, this.generator?.signs(size));
    this.#made.set(size, made);
    return made;
  }
}

/** The smallest matrix that is left when factors of two are taken out of `size`. */
function coreOf(size: number): [order: number, core: Float64Array] {
  let odd = size;
  while (odd % 2 === 0) odd /= 2;
  for (let order = odd; order <= size; order *= 2) {
    const core = size % order === 0 ? paleyMatrix(order) : undefined;
    if (core) return [order, core];
  }
  throw new RecipeError(
    `${size}: no Hadamard matrix of this order is known here, expected a power of two times the order of a Paley matrix. ` +
      "Set transform_block_size to a divisor of it.",
  );
}

/** Bit k of a code is set where row 4 · group + k is negative in the column: codes of all columns, group after group. */
function signCodes(order: number, entry: (row: number, column: number) => number): Uint8Array {
  const codes = new Uint8Array(Math.ceil(order / 4) * order);
  for (let row = 0; row < order; row++) {
    for (let column = 0; column < order; column++)
      if (entry(row, column) < 0) codes[(row >> 2) * order + column] |= 1 << (row & 3);
  }
  return codes;
}

/** The sums of four values, `step` apart, with all patterns of signs. */
function sumPatterns(sums: Float64Array, values: Float64Array, begin: number, step: number): void {
  const [a, b, c, d] = [values[begin], values[begin + step], values[begin + 2 * step], values[begin + 3 * step]];
  const low = [a + b, b - a, a - b, -a - b];
  const high = [c + d, d - c, c - d, -c - d];
  for (let code = 0; code < 16; code++) sums[code] = low[code & 3] + high[code >> 2];
}

/** x H in place for the `width` values from `start`, H being Sylvester's. */
function walshHadamard(values: Float64Array, start: number, width: number): void {
  for (let half = 1; half < width; half *= 2) {
    for (let block = start; block < start + width; block += 2 * half) {
      for (let i = block; i < block + half; i++) {
        const [a, b] = [values[i], values[i + half]];
        values[i] = a + b;
        values[i + half] = a - b;
      }
    }
  }
}
