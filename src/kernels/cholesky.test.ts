import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { randomHessian } from "../../test/gptq-reference.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Arena } from "./arena.ts";
import { factorize } from "./cholesky.ts";
import { Threads } from "./threads.ts";

const arena = new Arena();
let teams: readonly Threads[];

beforeAll(async () => {
  teams = await Promise.all([1, 2, 3].map((count) => Threads.start(arena.memory, count)));
});

afterAll(() => Promise.all(teams.map((threads) => threads.stop())));

/** Rᵀ of H = R Rᵀ, its upper part filled with zeros; undefined if H is not positive definite. */
function transposedFactor(hessian: Float64Array, threads: Threads): Promise<Float32Array | undefined> {
  return arena.scoped(async () => {
    const factor = await factorize(arena, threads, hessian);
    if (!factor) return undefined;
    const lower = (_: number, at: number) => Math.floor(at / factor.columns) >= at % factor.columns;
    const values = arena.view(Float32Array, factor.address, factor.columns ** 2);
    return values.map((value, at) => (lower(value, at) ? value : 0));
  });
}

/** R Rᵀ from Rᵀ, in float64. */
function multiplyBack(transposed: Float32Array, n: number): Float64Array<ArrayBuffer> {
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    let sum = 0;
    for (let k = Math.max(i, j); k < n; k++) sum += transposed[k * n + i] * transposed[k * n + j];
    return sum;
  });
}

test("R is upper triangular with a positive diagonal and R Rᵀ is the matrix", async () => {
  const cases = fc.tuple(fc.integer({ min: 1, max: 150 }), fc.integer());
  await fc.assert(
    fc.asyncProperty(cases, async ([n, seed]) => {
      const hessian = randomHessian(n, seed);
      const transposed = await transposedFactor(hessian, teams[1]);
      expect(transposed).toBeDefined();
      for (let i = 0; i < n; i++) expect(transposed![i * n + i]).toBeGreaterThan(0);
      const product = new Tensor("F64", [n, n], multiplyBack(transposed!, n));
      const largest = Math.max(...hessian.filter((_, at) => at % (n + 1) === 0));
      expect(product).toBeAllClose(new Tensor("F64", [n, n], hessian), { atol: 1e-6 * largest });
    }),
    { numRuns: 25 },
  );
});

test("the factor of a small matrix is as worked out by hand", async () => {
  // [[5, 2], [2, 4]] = [[2, 1], [0, 2]] · [[2, 0], [1, 2]]
  expect(await transposedFactor(Float64Array.of(5, 2, 2, 4), teams[0])).toEqual(Float32Array.of(2, 0, 1, 2));
});

test.each([1, 63, 64, 65, 200])(
  "the bytes of a factor of %i columns do not depend on the number of threads",
  async (n) => {
    const hessian = randomHessian(n, n);
    const alone = await transposedFactor(hessian, teams[0]);
    expect(alone).toBeDefined();
    for (const threads of teams) expect(await transposedFactor(hessian, threads)).toEqual(alone);
  },
);

test.each([0, 70, 149])("a negative pivot in column %i is reported", async (column) => {
  const hessian = randomHessian(150, 1);
  hessian[column * 151] = -1;
  expect(await transposedFactor(hessian, teams[1])).toBeUndefined();
});
