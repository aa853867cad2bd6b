import { expect, test } from "vitest";
import type { ColumnProblem } from "./column-problem.ts";
import { joinRows, splitRows } from "./split-rows.ts";

const [ROWS, COLUMNS] = [19, 4];
const problem: ColumnProblem = {
  weight: Float32Array.from({ length: ROWS * COLUMNS }, (_, i) => i),
  scale: Float32Array.from({ length: 2 * ROWS }, (_, i) => i),
  groupOfColumn: Int32Array.of(0, 0, 1, 1),
  order: Int32Array.of(0, 1, 2, 3),
  numBits: 4,
  pruned: new Uint8Array(ROWS * COLUMNS),
};

test("a large weight is cut into shares of whole rows, a multiple of eight but for the last", () => {
  const shares = splitRows(problem, COLUMNS, 10 * COLUMNS);
  expect(shares.map(({ weight }) => weight.length / COLUMNS)).toEqual([8, 8, 3]);
  expect(shares.map(({ scale }) => scale.length / 2)).toEqual([8, 8, 3]);
  expect(shares.map(({ pruned }) => pruned?.length)).toEqual([32, 32, 12]);
  expect(shares[1]).toMatchObject({ zeroPoint: undefined, numBits: 4, order: problem.order });
  expect([shares[1].weight[0], shares[1].scale[0]]).toEqual([8 * COLUMNS, 16]);
});

test("a small weight is one share", () => {
  expect(splitRows(problem, COLUMNS)).toEqual([problem]);
});

test("results of shares are put one below the other, their losses summed", () => {
  const one = { codes: Int8Array.of(1, 2), loss: 1 };
  expect(joinRows([one, { codes: Int8Array.of(3), loss: 0.5 }])).toEqual({ codes: Int8Array.of(1, 2, 3), loss: 1.5 });
  expect(joinRows([one])).toBe(one);
});
