import fc from "fast-check";
import { expect, test } from "vitest";
import { roundHalfToEven, shiftHalfToEven } from "./rounding.ts";

test("halves round to the even neighbour", () => {
  expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5].map(roundHalfToEven)).toEqual([-2, -2, 0, 0, 2, 2, 4]);
});

test("a number that is no half rounds as Math.round does", () => {
  const numbers = fc.double({ min: -(2 ** 40), max: 2 ** 40, noNaN: true });
  fc.assert(
    fc.property(numbers, (x) => {
      fc.pre(Math.abs(x % 1) !== 0.5);
      expect(roundHalfToEven(x)).toBe(Math.round(x) + 0);
    }),
  );
});

test("a half rounds to an even integer half a step away", () => {
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), (integer) => {
      const rounded = roundHalfToEven(integer + 0.5);
      expect(Math.abs(rounded % 2)).toBe(0);
      expect(Math.abs(rounded - integer - 0.5)).toBe(0.5);
    }),
  );
});

test("NaN stays NaN", () => {
  expect(roundHalfToEven(Number.NaN)).toBeNaN();
});

test.each([
  [0b1011, 2, 0b11],
  [0b1010, 2, 0b10],
  [0b1110, 2, 0b100],
  [0b1001, 2, 0b10],
  [0xffff7fff, 16, 0xffff],
  [0xffffff, 31, 0],
])("%i without its lowest %i bits is %i", (bits, count, expected) => {
  expect(shiftHalfToEven(bits, count)).toBe(expected);
});
