import { formatOf } from "../formats/registry.ts";
import type { Node } from "../fx/node.ts";
import type { KernelPool } from "../kernels/pool.ts";
import { GPTQModifier } from "../modifiers/gptq.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import { QuantizationModifier } from "../modifiers/quantization.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { Stage, Statistics } from "../sequential/stage.ts";
import { Weights } from "../sequential/weights.ts";
import { fromFloat32 } from "../tensor/convert.ts";
import { Tensor } from "../tensor/tensor.ts";
import { fastest } from "./fastest.ts";
import type { Rates } from "./rates.ts";
import { roundingProducts } from "./seconds.ts";

/** Sides of the weights that are rounded: what grows with the rows is told from what does not. */
const [COLUMNS, FEW_ROWS, MANY_ROWS] = [512, 128, 640];

class Root extends Module<void> {
  readonly layer: Linear;

  constructor(rows: number) {
    super();
    this.layer = new Linear(COLUMNS, rows);
    const weight = fromFloat32(random([rows, COLUMNS]), "BF16");
    this.layer.weight.source = { name: "layer.weight", dtype: "BF16", shape: weight.shape, read: async () => weight };
  }

  forward(x: Node): Node {
    return this.layer.call(x);
  }
}

/**
 * Seconds for rounding a weight, with and without a second moment, and for what is done once for each second moment:
 * measured with the modifiers themselves, on small weights.
 *
 * @param multiplyAdd - seconds for a multiply-add of a product, which is taken off
 */
export async function probeCompression(
  kernels: KernelPool,
  multiplyAdd: number,
): Promise<Pick<Rates, "roundedColumn" | "roundedWeight" | "momentEntry">> {
  const options = { scheme: "W4A16" };
  const few = await probe(new GPTQModifier(options), kernels, FEW_ROWS);
  const many = await probe(new GPTQModifier(options), kernels, MANY_ROWS);
  const nearest = await probe(new QuantizationModifier(options), kernels, MANY_ROWS);
  const products = (rows: number) => multiplyAdd * roundingProducts({ columns: COLUMNS, rows });
  const perRow = Math.max(0, many - few - products(MANY_ROWS) + products(FEW_ROWS)) / (MANY_ROWS - FEW_ROWS);
  return {
    roundedColumn: perRow / COLUMNS,
    momentEntry: Math.max(0, few - FEW_ROWS * perRow - products(FEW_ROWS)) / COLUMNS ** 2,
    roundedWeight: nearest / (MANY_ROWS * COLUMNS),
  };
}

function probe(modifier: Modifier, kernels: KernelPool, rows: number): Promise<number> {
  const model = new Root(rows);
  const moment = definite(random([COLUMNS, COLUMNS]));
  modifier.initialize(model, { warn() {} });
  const weights = new Weights(model);
  const context = { weights, kernels, savedDType: () => "BF16" as const, control: {} };
  return fastest(async () => {
    const statistics = new Statistics();
    for (const tap of modifier.taps?.(model.layer) ?? [])
      statistics.add({ taps: [tap], statistic: { value: moment, sequences: 1 } });
    const stage = new Stage(0, [["layer", model.layer]], { ...context, statistics });
    await stage.apply(modifier);
    const quantized = stage.quantized.get(model.layer);
    const scheme = modifier.quantization?.schemes.get(model.layer);
    if (quantized && scheme) formatOf(scheme, "layer").compress("layer", quantized);
    weights.releaseAll();
  });
}

/** Symmetric, and positive definite as its diagonal dominates. */
function definite({ data, shape }: Tensor<"F32">): Tensor<"F32"> {
  for (let row = 0; row < COLUMNS; row++) {
    for (let column = 0; column < row; column++) data[column * COLUMNS + row] = data[row * COLUMNS + column];
    data[row * COLUMNS + row] = COLUMNS;
  }
  return new Tensor("F32", shape, data);
}

/** Numbers between −1 and 1, the same every time. */
function random(shape: readonly [number, number]): Tensor<"F32"> {
  let state = 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  return new Tensor("F32", shape, Float32Array.from({ length: shape[0] * shape[1] }, next));
}
