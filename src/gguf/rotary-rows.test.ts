import fc from "fast-check";
import { expect, test } from "vitest";
import { halvesOrder, interleavedOrder, reorderRows, rotatedRows } from "./rotary-rows.ts";

test("rows of the two halves of each head become neighbours", () => {
  expect([...interleavedOrder(8, 2)]).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
  expect([...reorderRows(Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7), 2, interleavedOrder(4, 1))]).toEqual([
    0, 1, 4, 5, 2, 3, 6, 7,
  ]);
});

test("the one order undoes the other", () => {
  const sizes = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 9 }));
  fc.assert(
    fc.property(sizes, ([heads, half]) => {
      const rows = 2 * half * heads;
      const values = Float32Array.from({ length: rows }, (_, i) => i);
      const there = reorderRows(values, 1, interleavedOrder(rows, heads));
      expect(reorderRows(there, 1, halvesOrder(rows, heads))).toEqual(values);
    }),
  );
});

test("queries and keys are told from all else", () => {
  expect(rotatedRows("model.layers.0.self_attn.q_proj.weight")).toBe("queries");
  expect(rotatedRows("model.layers.0.self_attn.k_proj.bias")).toBe("keys");
  expect(rotatedRows("model.layers.0.self_attn.k_norm.weight")).toBeNull();
});
