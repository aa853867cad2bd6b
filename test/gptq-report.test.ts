import { expect, onTestFinished, test } from "vitest";
import type { Node } from "../src/fx/node.ts";
import { KernelPool } from "../src/kernels/pool.ts";
import { GPTQModifier } from "../src/modifiers/gptq.ts";
import { Linear } from "../src/nn/linear.ts";
import { Module } from "../src/nn/module.ts";
import { createMatrixProducts } from "../src/runtime/matrix-products.ts";
import { dequantizeWeight, type QuantizedWeight } from "../src/schemes/quantize.ts";
import { Stage, Statistics } from "../src/sequential/stage.ts";
import { Weights } from "../src/sequential/weights.ts";
import { decibels } from "../src/tensor/comparison.ts";
import { Tensor } from "../src/tensor/tensor.ts";
import { randomValues } from "./gptq-reference.ts";

const [TOKENS, COLUMNS, ROWS] = [200, 64, 24];

class Root extends Module<void> {
  readonly layer = new Linear(COLUMNS, ROWS);

  forward(x: Node): Node {
    return this.layer.call(x);
  }
}

test.each([0, 2])("the error that is told is that of the output, after %i sweeps", async (refinementSweeps) => {
  const original = randomValues(ROWS * COLUMNS, 1);
  const x = randomValues(TOKENS * COLUMNS, 2);
  const model = new Root();
  const value = () => new Tensor("F32", [ROWS, COLUMNS], Float32Array.from(original));
  const readFloat32 = async (buffers = weights.buffers) => {
    const read = buffers.take("F32", [ROWS, COLUMNS]); // as a checkpoint does: what comes after takes this memory
    read.data.set(original);
    return read;
  };
  model.layer.weight.source = {
    name: "weight",
    dtype: "F32",
    shape: [ROWS, COLUMNS],
    read: async () => value(),
    readFloat32,
  };
  const weights = new Weights(model);
  const gptq = new GPTQModifier({
    configGroups: { group: { targets: ["Linear"], weights: { numBits: 4, strategy: "group", groupSize: 32 } } },
    dampeningFrac: 0.1,
    refinementSweeps,
  });
  gptq.initialize(model, { warn() {} });

  const kernels = await KernelPool.create(createMatrixProducts({ threads: 1 }), { threads: 1 });
  onTestFinished(() => kernels.close());
  const statistics = new Statistics();
  for (const tap of gptq.taps(model.layer)) {
    statistics.add({ taps: [tap], statistic: { value: secondMoment(x), sequences: 5 } });
  }
  const stage = new Stage(0, [["layer", model.layer]], {
    ...{ weights, statistics, kernels },
    savedDType: () => "F32",
    control: {},
  });
  await stage.apply(gptq);

  const rounded = dequantizeWeight(stage.quantized.get(model.layer) as QuantizedWeight).data;
  const change = original.map((weight, at) => weight - rounded[at]);
  const expected = decibels(outputEnergy(x, change) / outputEnergy(x, original));
  expect(stage.reports[0][0].errorInDecibels).toBeCloseTo(expected, 3);
});

/** XᵀX. */
function secondMoment(x: Float32Array): Tensor<"F32"> {
  const data = new Float32Array(COLUMNS ** 2);
  for (let token = 0; token < TOKENS; token++) {
    const row = x.subarray(token * COLUMNS, (token + 1) * COLUMNS);
    for (let at = 0; at < data.length; at++) data[at] += row[Math.floor(at / COLUMNS)] * row[at % COLUMNS];
  }
  return new Tensor("F32", [COLUMNS, COLUMNS], data);
}

/** ‖X Wᵀ‖². */
function outputEnergy(x: Float32Array, weight: Float32Array): number {
  let energy = 0;
  for (let token = 0; token < TOKENS; token++) {
    for (let row = 0; row < ROWS; row++) {
      let sum = 0;
      for (let column = 0; column < COLUMNS; column++)
        sum += x[token * COLUMNS + column] * weight[row * COLUMNS + column];
      energy += sum ** 2;
    }
  }
  return energy;
}
