import { f32 } from "../fx/types.ts";
import type { MatrixProducts } from "../kernels/matrix-products.ts";
import { float, type OnnxExpression, onnx } from "../ops/onnx.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { OnnxWriter } from "./onnx-writer.ts";
import { Runtime, type RuntimeOptions, type Session } from "./session.ts";

/**
 * Matrix products on the CPU, by ONNX Runtime.
 *
 * @param threads - by default one for each core
 */
export async function createMatrixProducts({
  threads,
  profiler,
}: Omit<RuntimeOptions, "device"> = {}): Promise<MatrixProducts> {
  const runtime = await Runtime.create({ threads, profiler });
  const [a, b, c] = ["a", "b", "c"].map((value) => ({ value }));
  const subtract = await compile(runtime, "abc", onnx("Gemm", [a, b, c], { transB: 1, alpha: float(-1) }));
  const multiply = await compile(runtime, "ab", onnx("Gemm", [a, b], { transA: 1 }));
  return {
    async subtractProduct(c, a, b) {
      await subtract.run(new Map(Object.entries({ a, b, c })), new Map([["result", c]]));
    },
    async transposedProduct(a, b) {
      const results = await multiply.run(new Map(Object.entries({ a, b })));
      return results.get("result") as Tensor<"F32">;
    },
  };
}

/** A model of one expression on matrices of any size, called by the letters of `inputs`. */
function compile(runtime: Runtime, inputs: string, expression: OnnxExpression): Promise<Session> {
  const writer = new OnnxWriter();
  for (const name of inputs) writer.input(name, f32(`${name}0`, `${name}1`));
  writer.output("result", f32("result0", "result1"), writer.emit(expression, "product"));
  return runtime.compile(writer.finish());
}
