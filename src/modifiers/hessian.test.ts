import { expect, test } from "vitest";
import { CompressionError } from "../errors.ts";
import { takeLowerPanels } from "../kernels/lower-panels.ts";
import { Buffers } from "../tensor/buffers.ts";
import { Tensor } from "../tensor/tensor.ts";
import { prepareHessian } from "./hessian.ts";

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
