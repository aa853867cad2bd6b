import { expect, test } from "vitest";
import { fromBits, goldenTables } from "../../test/compressed-tensors.ts";
import { encodeFloat4 } from "../../test/plain-codes.ts";
import { FLOAT4_VALUES, unpackFloat4 } from "./float4.ts";

test("values round to the reference's", () => {
  const { x, y } = goldenTables.e2m1;
  expect(Array.from(fromBits(x), (value) => FLOAT4_VALUES[encodeFloat4(value)])).toEqual([...fromBits(y)]);
});

test("every pattern comes back from its value, the one of −0 as +0", () => {
  expect([...FLOAT4_VALUES].map(encodeFloat4)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 12, 13, 14, 15]);
});

test("a negative value that rounds to zero keeps its sign", () => {
  expect([-0.25, -0.05, 0.05].map(encodeFloat4)).toEqual([8, 8, 0]);
});

test("codes lie two a byte, the first in the low half", () => {
  expect([...unpackFloat4(Uint8Array.of(0x21, 0x0f))]).toEqual([1, 2, 15, 0]);
});
