import { expect, onTestFinished, test } from "vitest";
import { randomValues } from "../../test/gptq-reference.ts";
import { CompressionError } from "../errors.ts";
import { takeLowerPanels } from "../kernels/lower-panels.ts";
import { KernelPool } from "../kernels/pool.ts";
import { createMatrixProducts } from "../runtime/matrix-products.ts";
import { Buffers } from "../tensor/buffers.ts";
import { Tensor } from "../tensor/tensor.ts";
import { prepareHessian, relativeError } from "./hessian.ts";
import type { CompressionStage } from "./modifier.ts";

test("a damping too large for a number is refused", () => {
  const seen = { value: new Tensor("F32", [1, 1], Float32Array.of(4)), sequences: 1 };
  expect(() =>
    prepareHessian(
      seen,
      { dampeningFrac: 1e308, byImportance: false, panels: takeLowerPanels(1, new Buffers()) },
      "q_proj",
    ),
  ).toThrow(new CompressionError("q_proj: a damping of Infinity, expected a finite one. Lower dampening_frac."));
});

test("a relative error is that of the output itself, without the damping", async () => {
  const [tokens, columns, rows, sequences] = [40, 12, 5, 4];
  const x = randomValues(tokens * columns, 1).map((value, at) => value * (1 + (at % columns)));
  const before = new Tensor("F32", [rows, columns], Float32Array.from(randomValues(rows * columns, 2)));
  const after = new Tensor(
    "F32",
    [rows, columns],
    before.data.map((value) => Math.round(4 * value) / 4),
  );
  const difference = before.data.map((value, at) => value - after.data[at]);
  const moment = Float32Array.from({ length: columns ** 2 }, (_, at) => {
    const [i, j] = [Math.floor(at / columns), at % columns];
    return Array.from({ length: tokens }).reduce(
      (sum: number, _, t) => sum + x[t * columns + i] * x[t * columns + j],
      0,
    );
  });
  /** Σ |Xw|² over the rows w of a matrix. */
  const energy = (matrix: Float32Array) => {
    let sum = 0;
    for (let t = 0; t < tokens; t++) {
      for (let row = 0; row < rows; row++) {
        const inputs = x.subarray(t * columns, (t + 1) * columns);
        sum += inputs.reduce((dot, value, column) => dot + value * matrix[row * columns + column], 0) ** 2;
      }
    }
    return sum;
  };
  const kernels = await KernelPool.create(createMatrixProducts({ threads: 1 }), { threads: 1 });
  onTestFinished(() => kernels.close());
  const seen = { value: new Tensor("F32", [columns, columns], moment), sequences };
  const panels = kernels.takeLowerPanels(columns);
  const hessian = prepareHessian(seen, { dampeningFrac: 0.5, byImportance: true, panels }, "q_proj");
  const distance = difference.reduce((sum, value) => sum + value ** 2, 0);
  const loss = energy(difference) / sequences + (hessian.damping * distance) / 2;
  const found = await relativeError({ kernels } as CompressionStage, { before, after, loss }, seen, hessian);
  expect(found).toBeCloseTo(10 * Math.log10(energy(difference) / energy(before.data)), 4);
});
