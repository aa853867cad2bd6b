import { expect, test } from "vitest";
import { Arena } from "./arena.ts";

test("what is put in is read back, at an aligned address that is not 0", () => {
  const arena = new Arena();
  const values = Float64Array.of(1, 2, 3);
  const addresses = [arena.put(Int8Array.of(1)), arena.put(values.subarray(1))];
  expect(addresses).toEqual([64, 128]);
  expect([...arena.view(Float64Array, addresses[1], 2)]).toEqual([2, 3]);
});

test("memory grows, and what it holds stays", () => {
  const arena = new Arena();
  const address = arena.put(Int8Array.of(7));
  const large = arena.put(new Uint8Array(200_000).fill(9));
  expect(arena.view(Int8Array, address, 1)[0]).toBe(7);
  expect(arena.view(Uint8Array, large + 199_999, 1)[0]).toBe(9);
});

test("what work takes is given back when it ends, and when it fails", async () => {
  const arena = new Arena();
  const inside = await arena.scoped(async () => arena.take(1000));
  const failing = arena.scoped(async () => {
    throw new Error(`failed at ${arena.take(1000)}`);
  });
  await expect(failing).rejects.toThrow(`failed at ${inside}`);
  expect(arena.take(1)).toBe(inside);
});

test("more than 4 GiB is refused", () => {
  expect(() => new Arena().take(2 ** 32)).toThrowErrorMatchingInlineSnapshot(
    `[ExecutionError: kernels: 4294967296 more bytes wanted with 64 taken, expected at most 4 GiB together.]`,
  );
});
