import { expect, test } from "vitest";
import { f32 } from "../src/fx/types.ts";
import { secondMoment } from "../src/modifiers/tap.ts";
import { gramPanels } from "../src/ops/gram.ts";
import { Executable } from "../src/runtime/executable.ts";
import { Runtime } from "../src/runtime/runtime.ts";
import { Buffers } from "../src/tensor/buffers.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { traceFunction } from "./trace-function.ts";

const [ROWS, WIDTH, BATCHES] = [3, 1024, 3];

test("a wide second moment, summed panel by panel in place, is symmetric and equals the sum over all rows", async () => {
  const x = Tensor.zeros("F32", [1, ROWS, WIDTH]);
  for (let i = 0; i < x.data.length; i++) x.data[i] = ((i * 7919) % 23) - 11;
  const buffers = new Buffers();
  const totals = secondMoment.initial(f32("batch", "seq", WIDTH), buffers);
  const inputs = Object.fromEntries(totals.map((total, index) => [`t${index}`, total]));
  const types = Object.fromEntries(gramPanels(WIDTH).map((shape, index) => [`t${index}`, f32(...shape)]));
  const graph = traceFunction(
    (value, ...before) =>
      Object.fromEntries(secondMoment.accumulate(value, before).map((after, index) => [`t${index}`, after])),
    { x: f32("batch", "seq", WIDTH), ...types },
  );
  const executable = await Executable.compile(graph, await Runtime.create({ threads: 1 }));
  for (let batch = 0; batch < BATCHES; batch++) {
    await executable.run({ x, ...inputs }, { get: async () => x, rows: async () => x }, (name) => inputs[name]);
  }
  const expected = Tensor.zeros("F32", [WIDTH, WIDTH]);
  for (let i = 0; i < WIDTH; i++) {
    for (let j = 0; j < WIDTH; j++) {
      for (let row = 0; row < ROWS; row++)
        expected.data[i * WIDTH + j] += BATCHES * x.data[row * WIDTH + i] * x.data[row * WIDTH + j];
    }
  }
  expect(totals).toHaveLength(4);
  expect(secondMoment.finish(totals)).toBeAllClose(expected, { atol: 0 });
});
