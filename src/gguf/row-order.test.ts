import fc from "fast-check";
import { expect, test } from "vitest";
import { ARCHITECTURES, type Architecture } from "./architectures.ts";
import { groupedOrder, interleavedOrder, inverseOrder, reorderingOf, reorderRows } from "./row-order.ts";

const [llama, neox] = ["llama", "gpt_neox"].map((type) =>
  ARCHITECTURES.find(({ modelTypes }) => modelTypes.includes(type)),
) as [Architecture, Architecture];

test("rows of the two halves of each head become neighbours", () => {
  expect([...interleavedOrder(8, 2)]).toEqual([0, 2, 1, 3, 4, 6, 5, 7]);
  expect([...reorderRows(Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7), 2, interleavedOrder(4, 1))]).toEqual([
    0, 1, 4, 5, 2, 3, 6, 7,
  ]);
});

test("queries of all heads come before keys, and these before values", () => {
  expect([...groupedOrder(12, 2)]).toEqual([0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11]);
});

test.each([
  ["interleaved", interleavedOrder, 2],
  ["grouped", groupedOrder, 3],
])("an order is undone by its inverse: %s", (_, orderOf, parts) => {
  const sizes = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 9 }));
  fc.assert(
    fc.property(sizes, ([heads, size]) => {
      const order = orderOf(parts * size * heads, heads);
      const values = Float32Array.from(order.keys());
      expect(reorderRows(reorderRows(values, 1, order), 1, inverseOrder(order))).toEqual(values);
    }),
  );
});

test("what is reordered is told from all else", () => {
  expect(reorderingOf(llama, "model.layers.0.self_attn.q_proj.weight")?.heads).toBe("queries");
  expect(reorderingOf(llama, "model.layers.0.self_attn.k_proj.bias")?.heads).toBe("keys");
  expect(reorderingOf(llama, "model.layers.0.self_attn.k_norm.weight")).toBeUndefined();
  expect(reorderingOf(neox, "gpt_neox.layers.0.attention.query_key_value.bias")?.parts).toBe(3);
  expect(reorderingOf(neox, "gpt_neox.layers.0.attention.dense.bias")).toBeUndefined();
});
