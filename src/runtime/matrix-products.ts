import { availableParallelism } from "node:os";
import { f32 } from "../fx/types.ts";
import type { MatrixProducts } from "../kernels/matrix-products.ts";
import { float, type OnnxExpression, onnx } from "../ops/onnx.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { threadsWithEqualSums } from "./equal-sums.ts";
import { OnnxWriter } from "./onnx-writer.ts";
import { Runtime, type RuntimeOptions } from "./runtime.ts";
import type { Session } from "./session.ts";

/**
 * Matrix products on the CPU, by ONNX Runtime.
 *
 * @param threads - by default one for each core
 */
export function createMatrixProducts({
  threads = availableParallelism(),
  profiler,
}: Omit<RuntimeOptions, "device"> = {}): MatrixProducts {
  const [a, b, c] = ["a", "b", "c"].map((value) => ({ value }));
  const subtract = new Product("abc", onnx("Gemm", [a, b, c], { transB: 1, alpha: float(-1) }), profiler);
  const multiply = new Product("ab", onnx("Gemm", [a, b], { transA: 1 }), profiler);
  return {
    subtractProduct: (c, a, b) => subtract.run({ a, b, c }, c, threads),
    multiplyTransposed: (c, a, b) => multiply.run({ a, b }, c, threads),
  };
}

/** An expression on matrices of any size, compiled for as many threads as a result of some shape may have. */
class Product {
  readonly #model: Uint8Array;
  readonly #sessions = new Map<number, Promise<Session>>();

  /** @param inputs - the letters by which the expression calls its matrices */
  constructor(
    inputs: string,
    expression: OnnxExpression,
    private readonly profiler: RuntimeOptions["profiler"],
  ) {
    const writer = new OnnxWriter();
    for (const name of inputs) writer.input(name, f32(`${name}0`, `${name}1`));
    writer.output("result", f32("result0", "result1"), writer.emit(expression, "product"));
    this.#model = writer.finish();
  }

  async run(inputs: Readonly<Record<string, Tensor>>, result: Tensor<"F32">, threads: number): Promise<void> {
    const [m, n] = result.shape;
    const session = await this.#session(threadsWithEqualSums(m, n, threads));
    await session.run(new Map(Object.entries(inputs)), new Map([["result", result]]));
  }

  #session(threads: number): Promise<Session> {
    const session = this.#sessions.get(threads) ?? this.#compile(threads);
    this.#sessions.set(threads, session);
    return session;
  }

  async #compile(threads: number): Promise<Session> {
    return (await Runtime.create({ threads, profiler: this.profiler })).compile(this.#model);
  }
}
