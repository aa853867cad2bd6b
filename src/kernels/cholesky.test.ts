import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { lowerPanelsOf, randomHessian } from "../../test/gptq-reference.ts";
import { createMatrixProducts } from "../runtime/matrix-products.ts";
import { Buffers } from "../tensor/buffers.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Arena } from "./arena.ts";
import { factorize, type KernelContext } from "./cholesky.ts";
import type { LowerPanels } from "./lower-panels.ts";
import { Threads } from "./threads.ts";

let teams: readonly KernelContext[];

beforeAll(async () => {
  teams = await Promise.all(
    [1, 2, 3].map(async (count) => {
      const arena = new Arena();
      const products = createMatrixProducts({ threads: count });
      return { arena, threads: await Threads.start(arena.memory, count), products, buffers: new Buffers() };
    }),
  );
});
afterAll(() => Promise.all(teams.map(({ threads }) => threads.stop())));

/** L of H = L Lᵀ, its upper part filled with zeros; undefined if H is not positive definite. */
async function factorOf(hessian: Float64Array, team: KernelContext): Promise<Float32Array | undefined> {
  const panels = lowerPanelsOf(hessian);
  return (await factorize(team, panels)) ? lowerTriangle(panels) : undefined;
}

function lowerTriangle({ columns, panels }: LowerPanels): Float32Array {
  const result = new Float32Array(columns ** 2);
  for (const { start, matrix } of panels) {
    const [rows, width] = matrix.shape;
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < Math.min(width, row + 1); column++)
        result[(start + row) * columns + start + column] = matrix.data[row * width + column];
    }
  }
  return result;
}

/** L Lᵀ, in float64. */
function multiplyBack(factor: Float32Array, n: number): Float64Array<ArrayBuffer> {
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    let sum = 0;
    for (let k = 0; k <= Math.min(i, j); k++) sum += factor[i * n + k] * factor[j * n + k];
    return sum;
  });
}

test("L has a positive diagonal and L Lᵀ is the matrix", async () => {
  const cases = fc.tuple(fc.integer({ min: 1, max: 300 }), fc.integer());
  await fc.assert(
    fc.asyncProperty(cases, async ([n, seed]) => {
      const hessian = randomHessian(n, seed);
      const factor = await factorOf(hessian, teams[1]);
      expect(factor).toBeDefined();
      for (let i = 0; i < n; i++) expect(factor![i * n + i]).toBeGreaterThan(0);
      const largest = Math.max(...hessian.filter((_, at) => at % (n + 1) === 0));
      const product = new Tensor("F64", [n, n], multiplyBack(factor!, n));
      expect(product).toBeAllClose(new Tensor("F64", [n, n], hessian), { atol: 1e-6 * largest });
    }),
    { numRuns: 15 },
  );
});

test("the factor of a small matrix is as worked out by hand", async () => {
  // [[4, 2], [2, 5]] = [[2, 0], [1, 2]] · [[2, 1], [0, 2]]
  expect(await factorOf(Float64Array.of(4, 2, 2, 5), teams[0])).toEqual(Float32Array.of(2, 0, 1, 2));
});

test.each([1, 127, 128, 129, 400])(
  "the bytes of a factor of %i columns do not depend on the number of threads",
  async (n) => {
    const hessian = randomHessian(n, n);
    const alone = await factorOf(hessian, teams[0]);
    expect(alone).toBeDefined();
    for (const team of teams) expect(await factorOf(hessian, team)).toEqual(alone);
  },
);

test.each([0, 70, 149])("a negative pivot in column %i is reported", async (column) => {
  const hessian = randomHessian(150, 1);
  hessian[column * 151] = -1;
  expect(await factorOf(hessian, teams[1])).toBeUndefined();
});
