import { expect, test } from "vitest";
import { codeTypeOf } from "./code-type.ts";

test.each([
  ["int", 1, -1, 0],
  ["int", 4, -8, 7],
  ["int", 8, -128, 127],
  ["float", 8, -448, 448],
  ["float", 4, -6, 6],
] as const)("%s of %i bits reaches from %i to %i", (type, numBits, min, max) => {
  expect(codeTypeOf({ type, numBits })).toMatchObject({ min, max });
});

test("numbers round to codes, half to even, and codes stand for them again", () => {
  const round = (type: "int" | "float", numBits: number, values: number[]) => {
    const { encode, values: numbers } = codeTypeOf({ type, numBits });
    const codes = new Uint8Array(values.length);
    encode(Float32Array.from(values), values.length, codes, 0);
    return [...codes].map((code) => numbers[code]);
  };
  expect(round("int", 8, [-128, -0.5, 1.5, 2.5])).toEqual([-128, 0, 2, 2]);
  expect(round("float", 8, [-448, 0.001, 17, 19])).toEqual([-448, 0.001953125, 16, 20]);
  expect(round("float", 4, [-6, 0.25, 2.5, 5])).toEqual([-6, 0, 2, 4]);
});
