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
  readonly #core: Float64Array;
  readonly #order: number;
  readonly #scratch: Float64Array;

  /**
   * @param signs - D, one for each row
   * @throws RecipeError for an order that none of the constructions gives
   */
  constructor(
    readonly size: number,
    private readonly signs: Float64Array = new Float64Array(size).fill(1),
  ) {
    [this.#order, this.#core] = coreOf(size);
    this.#scratch = new Float64Array(this.#order);
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

  /** Multiplies along the outer of the two axes [order, width]. */
  #multiplyCore(vector: Float64Array, transposed: boolean): void {
    const [order, width, sums] = [this.#order, this.size / this.#order, this.#scratch];
    const [rowStep, columnStep] = transposed ? [1, order] : [order, 1];
    for (let inner = 0; inner < width; inner++) {
      sums.fill(0);
      for (let i = 0; i < order; i++) {
        const value = vector[i * width + inner];
        for (let j = 0; j < order; j++) sums[j] += value * this.#core[i * rowStep + j * columnStep];
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
