import { expect, test } from "vitest";
import { HadamardRotation } from "./hadamard.ts";
import { paleyMatrix } from "./paley.ts";

test.each([12, 28, 36, 108])("the rotation of order %i multiplies by Paley's matrix", (order) => {
  expect(new HadamardRotation(order).matrix()).toEqual(paleyMatrix(order));
});

test("orders that neither construction gives, or that are too large, have no matrix", () => {
  expect([2, 6, 16, 40, 92, 1028].map(paleyMatrix)).toEqual(new Array(6).fill(undefined));
});
