import fc from "fast-check";
import { expect, test } from "vitest";
import type { Value } from "../runtime/executable.ts";
import { Tensor } from "../tensor/tensor.ts";
import { IntermediatesCache } from "./intermediates.ts";

const filled = (length: number, value: number) => new Tensor("F32", [length], new Float32Array(length).fill(value));

test("values are forgotten when they are deleted, unknown names are errors", async () => {
  const cache = new IntermediatesCache([{ x: filled(2, 0) }]);
  await cache.update(0, { y: filled(3, 1) });
  expect(cache.bytesInMemory).toBe(12);
  cache.delete(0, ["x"]);
  expect(cache.names(0)).toEqual(["y"]);
  await expect(cache.fetch(0, ["x"])).rejects.toThrow("batch 0: no value x, expected one of: y.");
  expect(() => cache.delete(0, ["x"])).toThrow("no value x");
  await cache.close();
});

test("batches with other keys than the first are refused, and named (D8)", () => {
  const x = filled(1, 0);
  expect(() => new IntermediatesCache([{ x, mask: x }, { x }])).toThrow(
    "batch 1: x, expected mask, x as in batch 0. Give every batch the same keys.",
  );
});

test("memory of a deleted value is given to the next result of its size, that of the model's inputs never is", async () => {
  const input = filled(4, 0);
  const cache = new IntermediatesCache([{ input }]);
  const value = cache.allocate("F32", [4]);
  await cache.update(0, { value, same: value });
  cache.delete(0, ["input", "value"]);
  expect(cache.allocate("F32", [4]).data).not.toBe(value.data); // it is still held under the other name
  cache.delete(0, ["same"]);
  expect(cache.allocate("F32", [2, 2]).data).toBe(value.data);
  expect(cache.allocate("F32", [4]).data).not.toBe(input.data);
  await cache.close();
});

test("past the budget values are in a file, and read back as they were", async () => {
  const cache = new IntermediatesCache([{}, {}, {}], { memoryBudget: 40 });
  for (const batch of [0, 1, 2]) await cache.update(batch, { x: filled(8, batch) });
  expect(cache.bytesInMemory).toBe(32);
  for (const batch of [0, 1, 2]) expect(await cache.fetch(batch, ["x"])).toEqual({ x: filled(8, batch) });
  await cache.close();
});

test("a folder that takes no file is an error that says what to do", async () => {
  const before = process.env.TMPDIR;
  process.env.TMPDIR = "/nonexistent";
  const cache = new IntermediatesCache([{}], { memoryBudget: 0 });
  if (before === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = before;
  await expect(cache.update(0, { x: filled(1, 1) })).rejects.toThrow(
    /^\/nonexistent: intermediates cannot be written there \(ENOENT.*, expected room for 4 bytes\. Free some, name another folder in TMPDIR/,
  );
  await cache.close();
});

const BATCHES = 3;
const action = fc.record({
  kind: fc.constantFrom("update", "fetch", "delete"),
  batch: fc.nat(BATCHES - 1),
  name: fc.constantFrom("a", "b", "c"),
  length: fc.constantFrom(1, 2, 5),
  tuple: fc.boolean(),
});

test("whatever the budget, what is fetched is what was last stored", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(40), fc.array(action, { maxLength: 40 }), async (memoryBudget, actions) => {
      const cache = new IntermediatesCache(
        Array.from({ length: BATCHES }, () => ({})),
        { memoryBudget },
      );
      const model = Array.from({ length: BATCHES }, () => new Map<string, Value>());
      for (const [index, { kind, batch, name, length, tuple }] of actions.entries()) {
        if (kind === "update") {
          const fresh = () => (tuple ? [filled(length, index), filled(1, -index)] : filled(length, index));
          await cache.update(batch, { [name]: fresh() });
          model[batch].set(name, fresh());
        } else if (model[batch].has(name)) {
          expect(await cache.fetch(batch, [name])).toEqual({ [name]: model[batch].get(name) });
          if (kind === "delete") {
            cache.delete(batch, [name]);
            model[batch].delete(name);
          }
        }
        expect(cache.bytesInMemory).toBeLessThanOrEqual(memoryBudget);
      }
      await cache.close();
      expect(cache.bytesInMemory).toBe(0);
    }),
    { numRuns: 60 },
  );
});
