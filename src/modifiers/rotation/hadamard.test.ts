import { describe, expect, test } from "vitest";
import { HadamardRotation, MeanKeepingRotation, type Rotation, RotationFactory } from "./hadamard.ts";
import { MersenneTwister } from "./mersenne-twister.ts";

const SIZES = [1, 2, 8, 12, 24, 28, 36, 64, 76, 576];

/** x R for one vector; the other of its pair is zero. */
function rotated(rotation: Rotation, vector: Float64Array): Float64Array {
  const pair = Float64Array.from({ length: 2 * vector.length }, (_, i) => (i % 2 === 0 ? vector[i / 2] : 0));
  rotation.apply(pair);
  return pair.filter((_, i) => i % 2 === 0);
}

/** R, row by row. */
function rows(rotation: Rotation): Float64Array[] {
  const unit = (row: number) => Float64Array.from({ length: rotation.size }, (_, i) => (i === row ? 1 : 0));
  return Array.from({ length: rotation.size }, (_, row) => rotated(rotation, unit(row)));
}

const dot = (a: Float64Array, b: Float64Array) => a.reduce((sum, value, index) => sum + value * b[index], 0);

describe.each(SIZES)("of size %i", (size) => {
  const signs = new MersenneTwister().signs(size);

  test("a random Hadamard matrix has orthogonal rows of equal magnitudes", () => {
    const matrix = rows(new HadamardRotation(size, signs));
    const deviations = matrix.flatMap((row) => Array.from(row, (value) => Math.abs(Math.abs(value) - size ** -0.5)));
    expect(deviations.reduce((largest, value) => Math.max(largest, value))).toBeLessThan(1e-12);
    for (const other of [0, size >> 1, size - 1])
      for (const [index, row] of matrix.entries())
        expect(dot(row, matrix[other])).toBeCloseTo(index === other ? 1 : 0, 10);
  });

  test("one that keeps means is orthogonal, too", () => {
    const rotation = new MeanKeepingRotation(size, signs);
    const matrix = rows(rotation);
    for (const [index, row] of matrix.entries())
      expect(dot(row, matrix[size - 1])).toBeCloseTo(index === size - 1 ? 1 : 0, 10);
    const vector = Float64Array.from({ length: size }, (_, index) => Math.sin(index) + 1);
    const sum = (values: Float64Array) => values.reduce((total, value) => total + value, 0);
    expect(sum(rotated(rotation, vector))).toBeCloseTo(sum(vector), 8);
  });
});

test("the deterministic matrix of a power of two is Sylvester's", () => {
  expect([...new HadamardRotation(4).matrix()]).toEqual([1, 1, 1, 1, 1, -1, 1, -1, 1, 1, -1, -1, 1, -1, -1, 1]);
});

test("signs are those of torch.Generator() with PyTorch's own seed", () => {
  const expected = [0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0].map((bit) => 2 * bit - 1);
  expect([...new MersenneTwister().signs(20)]).toEqual(expected);
});

test("a size has one rotation, and a second size takes up where the signs of the first end", () => {
  const factory = new RotationFactory(new MersenneTwister());
  const [first, second] = [factory.create(4), factory.create(8)];
  expect(factory.create(4)).toBe(first);
  const signs = new MersenneTwister().signs(12);
  expect(Array.from({ length: 8 }, (_, row) => second.matrix()[8 * row])).toEqual([...signs.slice(4)]);
});

test.each(SIZES)("vectors of size %i are rotated alike in either lane of either pair", (size) => {
  const rotation = new HadamardRotation(size, new MersenneTwister().signs(size));
  const pairs = Float64Array.from({ length: 4 * size }, (_, i) => Math.cos(i));
  const vectors = [0, 1, 2, 3].map((vector) =>
    Float64Array.from({ length: size }, (_, i) => pairs[(vector >> 1) * 2 * size + 2 * i + (vector & 1)]),
  );
  rotation.apply(pairs);
  for (const [vector, values] of vectors.entries()) {
    const found = pairs.filter((_, i) => Math.floor(i / (2 * size)) === vector >> 1 && (i & 1) === (vector & 1));
    expect(found).toEqual(rotated(rotation, values));
  }
});

test("a size without a known matrix is refused", () => {
  expect(() => new HadamardRotation(92)).toThrow(
    "92: no Hadamard matrix of this order is known here, expected a power of two times the order of a Paley matrix. " +
      "Set transform_block_size to a divisor of it.",
  );
});
