import { expect, test } from "vitest";
import { CheckpointError, RecipeError } from "../errors.ts";
import { timeLimited } from "./time-limit.ts";

test.each([
  ["a pattern that backtracks", () => /((a+)+)+$/.test(`${"a".repeat(60)}b`)],
  [
    "a loop without end",
    () => {
      for (;;);
    },
  ],
])("%s is stopped", (_, task) => {
  expect(() => timeLimited(task, "x.json", { seconds: () => 0.05 })()).toThrow(
    new CheckpointError("x.json: not done after 0.05 s, expected an end. Do not use it."),
  );
  expect(() => timeLimited(task, "x.yaml", { seconds: () => 0.05, failure: RecipeError })()).toThrow(RecipeError);
});

test("time in which nothing is computed does not count", () => {
  let calls = 0;
  const task = () => {
    if (calls++ === 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0); // until it is stopped
    return "done";
  };
  expect(timeLimited(task, "x.json", { seconds: () => 1 })()).toBe("done");
  expect(calls).toBe(2);
});

test("arguments, results and errors pass as they are, call after call", () => {
  const values = [{}, undefined, Symbol("s")];
  const same = timeLimited((value: unknown) => value, "x");
  for (const value of values) expect(same(value)).toBe(value);
  const error = new TypeError("mine");
  const fails = timeLimited(() => {
    throw error;
  }, "x");
  expect(fails).toThrow(error);
  expect(same(1)).toBe(1);
});
