import { expect, test } from "vitest";
import { lowerPanelsOf, randomHessian, randomValues } from "../../test/gptq-reference.ts";
import { createMatrixProducts } from "../runtime/matrix-products.ts";
import { Tensor } from "../tensor/tensor.ts";
import type { ColumnProblem } from "./column-problem.ts";
import { KernelPool } from "./pool.ts";

const COLUMNS = 96;
const hessian = randomHessian(COLUMNS, 1);

function problem(rows: number): ColumnProblem {
  return {
    weight: randomValues(rows * COLUMNS, rows),
    scale: new Float32Array(rows).fill(1 / 8),
    groupOfColumn: new Int32Array(COLUMNS),
    order: Int32Array.from({ length: COLUMNS }, (_, column) => column),
    numBits: 4,
  };
}

async function createPool(options: { threads: number }): Promise<KernelPool> {
  return KernelPool.create(createMatrixProducts(options), options);
}

test("concurrent calls give what calls one after another give", async () => {
  const pool = await createPool({ threads: 2 });
  const problems = [70, 5, 33].map(problem);
  const together = await Promise.all(problems.map((each) => pool.roundColumns(lowerPanelsOf(hessian), [each])));
  for (const [index, each] of problems.entries()) {
    expect(await pool.roundColumns(lowerPanelsOf(hessian), [each])).toEqual(together[index]);
  }
  await pool.close();
});

test("a call after one without a result works", async () => {
  const pool = await createPool({ threads: 1 });
  const indefinite = hessian.map((value) => -value);
  const results = await Promise.all([
    pool.roundColumns(lowerPanelsOf(indefinite), [problem(1)]),
    pool.roundColumns(lowerPanelsOf(hessian), []),
  ]);
  expect(results).toEqual([undefined, []]);
  await pool.close();
});

test("closing waits for the call that runs and refuses later ones", async () => {
  const pool = await createPool({ threads: 2 });
  const running = pool.roundColumns(lowerPanelsOf(hessian), [problem(8)]);
  await pool.close();
  expect(await running).toHaveLength(1);
  await expect(pool.roundColumns(lowerPanelsOf(hessian), [])).rejects.toThrow("kernels: the threads are stopped");
});

test("quadraticForm is trace(D M Dᵀ)", async () => {
  const pool = await createPool({ threads: 1 });
  const difference = new Tensor("F32", [2, 2], Float32Array.of(1, 2, 3, -1));
  const moment = new Tensor("F32", [2, 2], Float32Array.of(2, 1, 1, 4));
  expect(await pool.quadraticForm(difference, moment)).toBe(22 + 16);
  await pool.close();
});
