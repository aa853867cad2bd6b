import fc from "fast-check";
import { expect, test } from "vitest";
import { kthSmallest, smallestOfRows, smallestOfRuns, upToKthSmallest } from "./select.ts";

const scores = fc
  .array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 60 })
  .map((values) => Float32Array.from(values));

test("the k-th smallest is what sorting gives", () => {
  const check = fc.property(scores, fc.nat(), (values, seed) => {
    const k = seed % values.length;
    expect(kthSmallest(values, k)).toBe(values.toSorted()[k]);
  });
  fc.assert(check, { numRuns: 500 });
});

test("a row loses its smallest scores, of equal ones the first", () => {
  const check = fc.property(scores, fc.nat(), (row, seed) => {
    const count = seed % (row.length + 1);
    const order = [...row.keys()].sort((a, b) => row[a] - row[b] || a - b).slice(0, count);
    const expected = Uint8Array.from(row, (_, at) => Number(order.includes(at)));
    expect(smallestOfRows(row, row.length, count)).toEqual(expected);
  });
  fc.assert(check);
});

test("of every M neighbours the N smallest go, of equal ones the first", () => {
  const pruned = smallestOfRuns(Float32Array.of(3, 1, 2, 0, 5, 5, 5, 5), { prune: 2, of: 4 });
  expect([...pruned]).toEqual([0, 1, 0, 1, 1, 1, 0, 0]);
});

test("all that tie with the k-th smallest go", () => {
  expect([...upToKthSmallest(Float32Array.of(2, 1, 2, 3), 1)]).toEqual([1, 1, 1, 0]);
});
