import { expect, test } from "vitest";
import { Buffers } from "./buffers.ts";

test("memory that is given back is taken again for the same dtype and number of elements, and for no other", () => {
  const buffers = new Buffers();
  const first = buffers.take("F32", [2, 3]);
  buffers.give(first);
  expect(buffers.take("I32", [6]).data).not.toBe(first.data);
  expect(buffers.take("F32", [5]).data).not.toBe(first.data);
  expect(buffers.take("F32", [6]).data).toBe(first.data);
  expect(buffers.take("F32", [6]).data).not.toBe(first.data);
});

test("what is cleared is not taken again", () => {
  const buffers = new Buffers();
  const first = buffers.take("F32", [1]);
  buffers.give(first);
  buffers.clear();
  expect(buffers.take("F32", [1]).data).not.toBe(first.data);
});
