import { describe, expect, test } from "vitest";
import { HadamardRotation, MeanKeepingRotation, type Rotation, RotationFactory } from "./hadamard.ts";
import { MersenneTwister } from "./mersenne-twister.ts";

const SIZES = [1, 2, 8, 12, 24, 28, 36, 64, 76, 576];

/** R, row by row. */
function rows(rotation: Rotation): Float64Array[] {
  return Array.from({ length: rotation.size }, (_, row) => {
    const unit = new Float64Array(rotation.size);
    unit[row] = 1;
    rotation.apply(unit);
    return unit;
  });
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
    const sum = vector.reduce((total, value) => total + value, 0);
    rotation.apply(vector);
    expect(vector.reduce((total, value) => total + value, 0)).toBeCloseTo(sum, 8);
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

test("a size without a known matrix is refused", () => {
  expect(() => new HadamardRotation(92)).toThrow(
    "92: no Hadamard matrix of this order is known here, expected a power of two times the order of a Paley matrix. " +
      "Set transform_block_size to a divisor of it.",
  );
});
