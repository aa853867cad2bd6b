import { f32 } from "../src/fx/types.ts";
import { onnx } from "../src/ops/onnx.ts";
import { OnnxWriter } from "../src/runtime/onnx-writer.ts";
import { Runtime } from "../src/runtime/runtime.ts";
import { Tensor } from "../src/tensor/tensor.ts";

const SIZE = 2048;

/** Seconds of the fastest of several calls; the first, which warms up, is left out. */
export async function fastest(work: () => unknown, repetitions = 5): Promise<number> {
  await work();
  let best = Number.POSITIVE_INFINITY;
  for (let i = 0; i < repetitions; i++) {
    const start = performance.now();
    await work();
    best = Math.min(best, (performance.now() - start) / 1000);
  }
  return best;
}

/** Floating-point operations a second of a float32 product of 2048 × 2048 matrices in ONNX Runtime, on all cores. */
export async function measurePeak(): Promise<number> {
  const writer = new OnnxWriter();
  for (const name of ["a", "b"]) writer.input(name, f32(SIZE, SIZE));
  const product = writer.emit(onnx("MatMul", [{ value: "a" }, { value: "b" }]), "product");
  writer.output("result", f32(SIZE, SIZE), product);
  const session = await (await Runtime.create()).compile(writer.finish());
  const matrix = () => new Tensor("F32", [SIZE, SIZE], new Float32Array(SIZE * SIZE).fill(0.5));
  const [inputs, targets] = [
    new Map([
      ["a", matrix()],
      ["b", matrix()],
    ]),
    new Map([["result", matrix()]]),
  ];
  return (2 * SIZE ** 3) / (await fastest(() => session.run(inputs, targets)));
}
