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
