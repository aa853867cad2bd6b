import { expect, test } from "vitest";
import { Arena } from "./arena.ts";
import { Threads } from "./threads.ts";

test("a kernel runs once on each thread that has arguments", async () => {
  const arena = new Arena();
  const threads = await Threads.start(arena.memory, 3);
  const matrices = [4, 9, 16].map((value) => arena.put(Float32Array.of(value)));
  threads.run("factorDiagonal", (thread) => (thread === 1 ? null : [matrices[thread], 1]));
  expect(matrices.map((address) => arena.view(Float32Array, address, 1)[0])).toEqual([2, 9, 4]);
  await threads.stop();
});

test.each([0, 1])("thread %i ends this call and all later ones with an error if it fails", async (failing) => {
  const threads = await Threads.start(new Arena().memory, 2);
  const outOfBounds = () => threads.run("factorDiagonal", (thread) => (thread === failing ? [2 ** 31, 1] : null));
  const message = "kernels: a thread failed (memory access out of bounds), expected it to go on.";
  expect(outOfBounds).toThrow(message);
  expect(() => threads.run("factorDiagonal", () => null)).toThrow(message);
  await threads.stop();
});

test("stopped threads run nothing", async () => {
  const threads = await Threads.start(new Arena().memory, 1);
  await threads.stop();
  expect(() => threads.run("factorDiagonal", () => null)).toThrowErrorMatchingInlineSnapshot(
    `[ExecutionError: kernels: the threads are stopped, expected running ones. Close the pool last.]`,
  );
});

test("idle threads do not keep the process alive", async () => {
  const alive = () => process.getActiveResourcesInfo().filter((name) => name === "MessagePort").length;
  const before = alive();
  const arena = new Arena();
  const threads = await Threads.start(arena.memory, 3);
  threads.run("factorDiagonal", () => [arena.put(Float32Array.of(1)), 1]);
  expect(alive()).toBe(before);
  await threads.stop();
});
