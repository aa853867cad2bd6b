import fc from "fast-check";
import { expect, test } from "vitest";
import { randomValues } from "../../test/gptq-reference.ts";
import { Tensor } from "../tensor/tensor.ts";
import { createMatrixProducts } from "./matrix-products.ts";

const teams = [1, 2, 3, 4].map((threads) => createMatrixProducts({ threads }));
const matrix = (rows: number, columns: number, seed: number) =>
  new Tensor("F32", [rows, columns], randomValues(rows * columns, seed) as Float32Array<ArrayBuffer>);

test("products of small matrices are as worked out by hand", async () => {
  const [a, b] = [
    new Tensor("F32", [2, 1], Float32Array.of(2, 3)),
    new Tensor("F32", [2, 2], Float32Array.of(1, 4, 5, 6)),
  ];
  const c = Tensor.zeros("F32", [1, 2]);
  await teams[0].multiplyTransposed(c, a, b);
  expect([...c.data]).toEqual([2 + 15, 8 + 18]);
  await teams[0].subtractProduct(c, new Tensor("F32", [1, 2], Float32Array.of(1, 2)), b);
  expect([...c.data]).toEqual([17 - 1 - 8, 26 - 5 - 12]);
});

test("no bit of a product depends on the number of threads", async () => {
  const sizes = fc.tuple(
    fc.integer({ min: 1, max: 200 }),
    fc.integer({ min: 1, max: 400 }),
    fc.integer({ min: 1, max: 600 }),
  );
  await fc.assert(
    fc.asyncProperty(sizes, async ([m, n, k]) => {
      const [a, b] = [matrix(k, m, 1), matrix(k, n, 2)];
      const results = teams.map(() => Tensor.zeros("F32", [m, n]));
      for (const [index, team] of teams.entries()) await team.multiplyTransposed(results[index], a, b);
      for (const result of results) expect(Buffer.compare(result.bytes, results[0].bytes)).toBe(0);
    }),
    { numRuns: 30 },
  );
});
