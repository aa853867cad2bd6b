import type { Node } from "../fx/node.ts";
import { Tracer } from "../fx/tracer.ts";
import { f32 } from "../fx/types.ts";
import { Linear } from "../nn/linear.ts";
import { Module } from "../nn/module.ts";
import { mul } from "../ops/arithmetic.ts";
import { Executable } from "../runtime/executable.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { Tensor } from "../tensor/tensor.ts";
import { fastest } from "./fastest.ts";
import type { Rates } from "./rates.ts";

/** Sides of the matrices: large enough for full speed. */
const [TOKENS, WIDTH] = [512, 1024];

class Product extends Module<void> {
  readonly layer = new Linear(WIDTH, WIDTH);

  forward(x: Node): Node {
    return this.layer.call(x);
  }
}

class Elementwise extends Module<void> {
  forward(x: Node): Node {
    return mul(x, x);
  }
}

/** Seconds that ONNX Runtime takes for a multiply-add of a product, a byte of another operator, and a call. */
export async function probeGraphs(runtime: Runtime): Promise<Pick<Rates, "multiplyAdd" | "byteMoved" | "call">> {
  const product = await probe(runtime, new Product(), [TOKENS, WIDTH]);
  const elementwise = await probe(runtime, new Elementwise(), [TOKENS, WIDTH]);
  return {
    multiplyAdd: product / (TOKENS * WIDTH * WIDTH),
    byteMoved: elementwise / (3 * 4 * TOKENS * WIDTH), // the operator reads x twice
    call: await probe(runtime, new Elementwise(), [1, 1]),
  };
}

async function probe(runtime: Runtime, module: Module<void>, shape: readonly number[]): Promise<number> {
  const executable = await Executable.compile(new Tracer().trace(module, { x: f32("rows", shape[1]) }), runtime);
  const x = Tensor.zeros("F32", shape);
  const weight = Tensor.zeros("F32", [shape[1], shape[1]]);
  const parameters = { get: async () => weight, rows: async () => weight };
  return fastest(() => executable.run({ x }, parameters));
}
