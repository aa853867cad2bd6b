import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { free } from "./free.ts";

test("memory is free at once, and not when garbage is collected", async () => {
  await setTimeout(10); // by now, what is sent is dropped
  const before = process.memoryUsage().arrayBuffers;
  const buffer = new ArrayBuffer(2 ** 26);
  expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(2 ** 25);
  free(buffer);
  expect(buffer.byteLength).toBe(0);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 25);
});
