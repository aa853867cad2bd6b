import fc from "fast-check";
import { expect, test } from "vitest";
import { fromBits, goldenTables } from "../../test/compressed-tensors.ts";
import { encodeFloat4, FLOAT4_VALUES, float32ToFloat4, packFloat4, unpackFloat4 } from "./float4.ts";

test("values round to the reference's", () => {
  const { x, y } = goldenTables.e2m1;
  const codes = new Uint8Array(x.length);
  float32ToFloat4(fromBits(x), codes);
  expect([...codes].map((code) => FLOAT4_VALUES[code])).toEqual([...fromBits(y)]);
});

test("every pattern comes back from its value, the one of −0 as +0", () => {
  expect([...FLOAT4_VALUES].map(encodeFloat4)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 0, 9, 10, 11, 12, 13, 14, 15]);
});

test("a negative value that rounds to zero keeps its sign", () => {
  expect([-0.25, -0.05, 0.05].map(encodeFloat4)).toEqual([8, 8, 0]);
});

test("codes are packed two a byte, the first in the low half, and come back", () => {
  expect([...packFloat4(Uint8Array.of(1, 2, 15, 0))]).toEqual([0x21, 0x0f]);
  const rows = fc.array(fc.tuple(fc.nat(15), fc.nat(15))).map((pairs) => Uint8Array.from(pairs.flat()));
  fc.assert(
    fc.property(rows, (codes) => {
      expect(unpackFloat4(packFloat4(codes))).toEqual(codes);
    }),
  );
});
