import fc from "fast-check";
import { expect, test } from "vitest";
import { shareOut } from "./start-workers.ts";

test("shares are neighbours in order, none empty, and differ by one item at the most", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { minLength: 1 }), fc.integer({ min: 1, max: 20 }), (items, count) => {
      const shares = shareOut(items, count);
      const sizes = shares.map(({ length }) => length);
      expect(shares.flat()).toEqual(items);
      expect(shares).toHaveLength(Math.min(count, items.length));
      expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
    }),
  );
});
