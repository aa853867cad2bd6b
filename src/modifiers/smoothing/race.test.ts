import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { race } from "./race.ts";

/** Races candidates whose errors are `errors[candidate][batch]`; tells the winner, and how many batches each was run on. */
async function run(errors: readonly (readonly number[])[]) {
  const runs = errors.map(() => 0);
  const winner = await race(errors.length, errors[0].length, (candidate) => async (batch) => {
    expect(batch).toBe(runs[candidate]);
    runs[candidate]++;
    return errors[candidate][batch];
  });
  return { winner, runs };
}

describe("race", () => {
  test("gives the candidate with the least error, and clearly worse ones up after an eighth of the batches", async () => {
    const batches = Array.from({ length: 16 }, (_, batch) => 1 + (batch % 3));
    const errors = [2, 1.01, 1, 1.5].map((factor) => batches.map((size) => factor * size));
    expect(await run(errors)).toEqual({ winner: 2, runs: [2, 16, 16, 2] });
  });

  test("stops a candidate once it has passed the total of the best", async () => {
    const late = [...Array.from({ length: 15 }, () => 1), 1.5];
    const early = Array.from({ length: 16 }, (_, batch) => (batch === 6 ? 3 : 1));
    const { winner, runs } = await run([early, late]);
    expect(winner).toBe(1);
    expect(runs[1]).toBe(16);
  });

  test("gives the first of equal ones", async () => {
    expect((await run([[2], [1], [1]])).winner).toBe(1);
    expect((await run(Array.from({ length: 3 }, () => [1, 1, 1, 1]))).winner).toBe(0);
  });

  test("leaves out errors that are not finite, and gives nothing where all are", async () => {
    expect((await run([[Number.NaN], [3], [Number.POSITIVE_INFINITY]])).winner).toBe(1);
    expect(
      (
        await run([
          [Number.NaN, 1],
          [Number.NaN, 1],
        ])
      ).winner,
    ).toBeUndefined();
  });

  test("where candidates keep their order from batch to batch, the winner is the best of all", async () => {
    const factors = fc.array(fc.double({ min: 0.5, max: 4, noNaN: true }), { minLength: 1, maxLength: 20 });
    const sizes = fc.array(fc.double({ min: 0.1, max: 10, noNaN: true }), { minLength: 1, maxLength: 20 });
    const check = fc.asyncProperty(factors, sizes, async (factors, sizes) => {
      const { winner } = await run(factors.map((factor) => sizes.map((size) => factor * size)));
      expect(factors[winner as number]).toBeCloseTo(Math.min(...factors), 9);
    });
    await fc.assert(check, { numRuns: 200 });
  });
});
