import { RecipeError } from "../../errors.ts";
import { copyIn, copyOut, local, reserve } from "../../wasm/local-memory.ts";
import type { MersenneTwister } from "./mersenne-twister.ts";
import { paleyMatrix } from "./paley.ts";

/** Scratch memory for each row of a core: a quarter of 16 pairs of float64. */
const PATTERN_BYTES = 64;

/** An orthogonal matrix R. */
export interface Rotation {
  readonly size: number;
  /** Replaces row vectors x by x R: pairs of them, [pairs, size, 2], the values of two side by side. */
  apply(pairs: Float64Array): void;
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
  }

  apply(pairs: Float64Array): void {
    scalePairs(pairs, this.signs);
    this.multiply(pairs, false);
  }

  /** Replaces row vectors x by x H / √n, or by x Hᵀ / √n. */
  multiply(pairs: Float64Array, transposed: boolean): void {
    const codes = transposed ? this.#rowCodes : this.#columnCodes;
    const [at, codesAt, scratch] = reserve(pairs.byteLength, codes.byteLength, PATTERN_BYTES * this.#order);
    copyIn(at, pairs);
    copyIn(codesAt, codes);
    local.multiplyHadamard(at, pairs.length / (2 * this.size), this.size, this.#order, codesAt, scratch);
    copyOut(at, pairs);
  }

  /** The signs of R √n, row by row. */
  matrix(): Float64Array {
    const { size } = this;
    const matrix = new Float64Array(size * size);
    for (let row = 0; row < size; row++) {
      const pair = new Float64Array(2 * size);
      pair[2 * row] = 1;
      this.apply(pair);
      for (let i = 0; i < size; i++) matrix[row * size + i] = Math.sign(pair[2 * i]);
    }
    return matrix;
  }
}

/**
 * R = H D Hᵀ / n, which keeps the mean of a vector, as the first sign is made one and so is H's first column: what a norm
 * that subtracts means allows.
 */
export class MeanKeepingRotation implements Rotation {
  readonly #hadamard: HadamardRotation;
  readonly #signs: Float64Array;

  constructor(
    readonly size: number,
    signs: Float64Array,
  ) {
    this.#hadamard = new HadamardRotation(size);
    this.#signs = signs.with(0, 1);
  }

  apply(pairs: Float64Array): void {
    this.#hadamard.multiply(pairs, false);
    scalePairs(pairs, this.#signs);
    this.#hadamard.multiply(pairs, true);
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

/** Multiplies each value of all vectors by the factor of its place. */
function scalePairs(pairs: Float64Array, factors: Float64Array): void {
  for (let start = 0; start < pairs.length; start += 2 * factors.length) {
    for (let i = 0; i < factors.length; i++) {
      pairs[start + 2 * i] *= factors[i];
      pairs[start + 2 * i + 1] *= factors[i];
    }
  }
}
