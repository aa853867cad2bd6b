import { expect, test } from "vitest";
import { f32 } from "../src/fx/types.ts";
import { gram } from "../src/ops/gram.ts";
import { Executable } from "../src/runtime/executable.ts";
import { Runtime } from "../src/runtime/session.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { traceFunction } from "./trace-function.ts";

test("a wide product that is computed by panels is symmetric and equals the sum over rows", async () => {
  const [rows, width] = [3, 1024];
  const x = Tensor.zeros("F32", [1, rows, width]);
  for (let i = 0; i < x.data.length; i++) x.data[i] = ((i * 7919) % 23) - 11;
  const graph = traceFunction((value) => gram(value), { x: f32("batch", "seq", width) });
  const executable = await Executable.compile(graph, await Runtime.create({ threads: 1 }));
  const [result] = Object.values(await executable.run({ x }, { get: async () => x })) as Tensor<"F32">[];
  const expected = Tensor.zeros("F32", [width, width]);
  for (let i = 0; i < width; i++) {
    for (let j = 0; j < width; j++) {
      for (let row = 0; row < rows; row++)
        expected.data[i * width + j] += x.data[row * width + i] * x.data[row * width + j];
    }
  }
  expect(result).toBeAllClose(expected, { atol: 0 });
});
