import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { randomHessian, randomValues } from "../../test/gptq-reference.ts";
import { createMatrixProducts } from "../runtime/matrix-products.ts";
import { rounder } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { KernelPool } from "./pool.ts";
import type { RefinementProblem, StoredScale } from "./refine-columns.ts";

const pools = await Promise.all(
  [1, 2].map((threads) => KernelPool.create(createMatrixProducts({ threads }), { threads })),
);
const [pool] = pools;

afterAll(() => Promise.all(pools.map((each) => each.close())));

const FLOAT32: StoredScale = { droppedBits: 0, smallest: 2 ** -126 };
const BFLOAT16: StoredScale = { droppedBits: 16, smallest: 2 ** -126 };

interface Size {
  readonly rows: number;
  readonly columns: number;
  readonly groupSize: number;
}

/** A weight between -1 and 1 with 4-bit codes that are any, and a scale for each row and group. */
function randomProblem({ rows, columns, groupSize }: Size, seed: number): RefinementProblem {
  const groups = Math.ceil(columns / groupSize);
  return {
    weight: randomValues(rows * columns, seed),
    codes: Int8Array.from(randomValues(rows * columns, seed + 1), (value) => Math.trunc(8 * value)),
    scale: randomValues(rows * groups, seed + 2).map((value) => rounder("BF16")((2.5 + value) / 16)),
    zeroPoint: Int8Array.from(randomValues(rows * groups, seed + 3), (value) => Math.trunc(value * 3)),
    groupOfColumn: Int32Array.from({ length: columns }, (_, column) => Math.floor(column / groupSize)),
    numBits: 4,
  };
}

/** The Hessian as the search takes it. */
function quadratic(hessian: Float64Array, sweeps: number) {
  const n = Math.sqrt(hessian.length);
  return {
    hessian: new Tensor("F32", [n, n], Float32Array.from(hessian)),
    diagonal: Float64Array.from({ length: n }, (_, i) => hessian[i * n + i]),
    sweeps,
  };
}

/** tr((W − Ŵ) H (W − Ŵ)ᵀ), in float64. */
function errorOf(hessian: Float64Array, problem: RefinementProblem): number {
  const n = Math.sqrt(hessian.length);
  let sum = 0;
  for (let start = 0; start < problem.weight.length; start += n) {
    const row = Float64Array.from({ length: n }, (_, column) => difference(problem, start / n, column));
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) sum += row[i] * hessian[i * n + j] * row[j];
  }
  return sum;
}

function difference(
  { weight, codes, scale, zeroPoint, groupOfColumn }: RefinementProblem,
  row: number,
  column: number,
) {
  const columns = groupOfColumn.length;
  const at = (row * scale.length * columns) / weight.length + groupOfColumn[column];
  return weight[row * columns + column] - (codes[row * columns + column] - (zeroPoint?.[at] ?? 0)) * scale[at];
}

describe("the error falls by as much as is told", () => {
  test.each<Size>([
    { rows: 1, columns: 1, groupSize: 1 },
    { rows: 9, columns: 70, groupSize: 16 },
    { rows: 4, columns: 300, groupSize: 300 },
    { rows: 21, columns: 256, groupSize: 128 },
  ])("on $rows × $columns, groups of $groupSize", async (size) => {
    const [hessian, problem] = [randomHessian(size.columns, 1), randomProblem(size, 2)];
    const found = await pool.refineColumns(quadratic(hessian, 2), { ...problem, storedScale: FLOAT32 });
    const [before, after] = [errorOf(hessian, problem), errorOf(hessian, { ...problem, ...found })];
    expect(found.gain).toBeGreaterThan(0);
    expect((before - after) / found.gain).toBeCloseTo(1, 3);
  });

  test("on random sizes, never by less than nothing", async () => {
    const sizes = fc.record({
      rows: fc.integer({ min: 1, max: 20 }),
      columns: fc.integer({ min: 1, max: 80 }),
      groupSize: fc.constantFrom(1, 7, 32),
    });
    const check = fc.asyncProperty(sizes, fc.integer(), fc.boolean(), async (size, seed, refit) => {
      const [hessian, problem] = [randomHessian(size.columns, seed), randomProblem(size, seed)];
      const storedScale = refit ? BFLOAT16 : undefined;
      const found = await pool.refineColumns(quadratic(hessian, 1), { ...problem, storedScale });
      const [before, after] = [errorOf(hessian, problem), errorOf(hessian, { ...problem, ...found })];
      expect(found.gain).toBeGreaterThanOrEqual(0);
      expect(Math.abs(before - after - found.gain)).toBeLessThan(1e-4 * before);
    });
    await fc.assert(check, { numRuns: 30 });
  });
});

test("after many sweeps no single code can be changed for the better", async () => {
  const [hessian, problem] = [randomHessian(48, 3), randomProblem({ rows: 3, columns: 48, groupSize: 16 }, 4)];
  const { codes } = await pool.refineColumns(quadratic(hessian, 50), problem);
  const best = errorOf(hessian, { ...problem, codes });
  for (let at = 0; at < codes.length; at++) {
    for (const step of [-1, 1]) {
      if (codes[at] + step < -8 || codes[at] + step > 7) continue;
      const other = codes.with(at, codes[at] + step);
      expect(errorOf(hessian, { ...problem, codes: other })).toBeGreaterThan(best * (1 - 1e-5));
    }
  }
});

test("scales are those of the dtype that they are stored in, and stay as they are where they may not change", async () => {
  const [hessian, problem] = [randomHessian(64, 5), randomProblem({ rows: 8, columns: 64, groupSize: 32 }, 6)];
  const [refitted, kept] = await Promise.all(
    [BFLOAT16, undefined].map((storedScale) => pool.refineColumns(quadratic(hessian, 2), { ...problem, storedScale })),
  );
  expect(refitted.scale).toEqual(refitted.scale.map(rounder("BF16")));
  expect(refitted.scale).not.toEqual(problem.scale);
  expect(refitted.gain).toBeGreaterThan(kept.gain);
  expect(kept.scale).toEqual(problem.scale);
});

test("what is pruned keeps its code", async () => {
  const [hessian, problem] = [randomHessian(40, 7), randomProblem({ rows: 13, columns: 40, groupSize: 8 }, 8)];
  const pruned = Uint8Array.from(problem.codes, (code) => Number(code < 0));
  const sparse = {
    ...problem,
    pruned,
    codes: problem.codes.map((code) => Math.max(code, 0)),
    weight: problem.weight.map((value, at) => (pruned[at] ? 0 : value)),
    zeroPoint: undefined,
    storedScale: FLOAT32,
  };
  const { codes } = await pool.refineColumns(quadratic(hessian, 3), sparse);
  expect(codes).not.toEqual(sparse.codes);
  expect(codes.filter((_, at) => pruned[at])).toEqual(new Int8Array(pruned.reduce((sum, mark) => sum + mark, 0)));
});

test("the bytes do not depend on the number of threads", async () => {
  const [hessian, problem] = [randomHessian(301, 9), randomProblem({ rows: 37, columns: 301, groupSize: 32 }, 10)];
  const [one, other] = await Promise.all(
    pools.map((each) => each.refineColumns(quadratic(hessian, 2), { ...problem, storedScale: BFLOAT16 })),
  );
  expect(other).toEqual(one);
});
