import { expect, test } from "vitest";
import { Buffers } from "./buffers.ts";
import { Tensor } from "./tensor.ts";

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

test("memory that nobody takes for eight rounds is let go, what is in use is not", () => {
  const buffers = new Buffers();
  const [idle, used] = [buffers.take("F32", [1]), buffers.take("F32", [2])];
  for (const tensor of [idle, used]) buffers.give(tensor);
  for (let round = 0; round < 8; round++) {
    buffers.give(buffers.take("F32", [2]));
    buffers.age();
  }
  expect(buffers.take("F32", [1]).data).not.toBe(idle.data);
  expect(buffers.take("F32", [2]).data).toBe(used.data);
});

test("what is kept is not taken again, and neither is what was not taken from here", () => {
  const buffers = new Buffers();
  const [kept, foreign] = [buffers.take("F32", [1]), new Buffers().take("F32", [1])];
  buffers.keep(kept);
  for (const tensor of [kept, foreign]) buffers.give(tensor);
  expect([kept.data, foreign.data]).not.toContain(buffers.take("F32", [1]).data);
});

test("a part of memory that is lent is left alone, the whole is taken back under whatever view", () => {
  const buffers = new Buffers();
  const { data } = buffers.take("F32", [4]);
  buffers.give(new Tensor("F32", [2], data.subarray(2)));
  expect(buffers.take("F32", [4]).data.buffer).not.toBe(data.buffer);
  buffers.give(new Tensor("F32", [4], new Float32Array(data.buffer)));
  expect(buffers.take("F32", [4]).data.buffer).toBe(data.buffer);
});

test("zeros are zeros in used memory too", () => {
  const buffers = new Buffers();
  const used = buffers.take("F32", [2]);
  used.data.fill(1);
  buffers.give(used);
  const zeros = buffers.takeZeros("F32", [2]);
  expect(zeros.data).toBe(used.data);
  expect([...zeros.data]).toEqual([0, 0]);
});
