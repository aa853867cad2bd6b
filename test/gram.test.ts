import { expect, test } from "vitest";
import { f32 } from "../src/fx/types.ts";
import { secondMoment } from "../src/modifiers/tap.ts";
import { Executable } from "../src/runtime/executable.ts";
import { Runtime } from "../src/runtime/runtime.ts";
import { Buffers } from "../src/tensor/buffers.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { traceFunction } from "./trace-function.ts";

const [ROWS, BATCHES] = [3, 3];

test.each([
  [300, 1],
  [576, 3],
  [1152, 10],
])(
  "a second moment of %i columns, summed in place in %i blocks, is symmetric and equals the sum over all rows",
  async (width, blocks) => {
    const x = Tensor.zeros("F32", [1, ROWS, width]);
    for (let i = 0; i < x.data.length; i++) x.data[i] = ((i * 7919) % 23) - 11;
    const buffers = new Buffers();
    const totals = secondMoment.initial(f32("batch", "seq", width), buffers);
    const inputs = Object.fromEntries(totals.map((total, index) => [`t${index}`, total]));
    const types = Object.fromEntries(totals.map(({ shape }, index) => [`t${index}`, f32(...shape)]));
    const graph = traceFunction(
      (value, ...before) =>
        Object.fromEntries(secondMoment.accumulate(value, before).map((after, index) => [`t${index}`, after])),
      { x: f32("batch", "seq", width), ...types },
    );
    const executable = await Executable.compile(graph, await Runtime.create({ threads: 1 }));
    for (let batch = 0; batch < BATCHES; batch++) {
      await executable.run({ x, ...inputs }, { get: async () => x, rows: async () => x }, (name) => inputs[name]);
    }
    const expected = Tensor.zeros("F32", [width, width]);
    for (let i = 0; i < width; i++) {
      for (let j = 0; j < width; j++) {
        for (let row = 0; row < ROWS; row++)
          expected.data[i * width + j] += BATCHES * x.data[row * width + i] * x.data[row * width + j];
      }
    }
    expect(totals).toHaveLength(blocks);
    expect(secondMoment.finish(totals)).toBeAllClose(expected, { atol: 0 });
  },
);
