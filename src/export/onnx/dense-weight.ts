import { loadPieces, type Parameter } from "../../nn/parameter.ts";
import { onnx } from "../../ops/onnx.ts";
import { fromFloat32 } from "../../tensor/convert.ts";
import { Tensor } from "../../tensor/tensor.ts";
import { transposeInto } from "../../tensor/transpose.ts";
import type { StoredWeight } from "./stored-weight.ts";

/** What a value is computed in, and stored where it is not quantized. */
export type ComputeDType = "F32" | "F16";

/**
 * A parameter as it multiplies.
 *
 * @param transposed - stores a matrix [out, in] as [in, out], so that a product reads it as it lies
 */
export function denseWeight(
  name: string,
  parameter: Parameter,
  dtype: ComputeDType,
  transposed: boolean,
): StoredWeight {
  const [, columns = 1] = parameter.shape;
  const shape = transposed ? parameter.shape.toReversed() : parameter.shape;
  return {
    initializers: [{ name, dtype, shape }],
    async load() {
      const stored = Tensor.zeros(dtype, shape);
      let begin = 0;
      for await (const piece of loadPieces(parameter)) {
        const values = fromFloat32(piece, dtype);
        if (transposed) transposeInto(stored, values, begin);
        else stored.data.set(values.data, begin * columns);
        begin += values.shape[0];
      }
      return [stored];
    },
    value: () => ({ value: name }),
    multiply(x) {
      const weight = { value: name };
      return onnx("MatMul", [x, transposed ? weight : onnx("Transpose", [weight], { perm: [1, 0] })]);
    },
    lookUp: (ids) => onnx("Gather", [{ value: name }, ids], { axis: 0 }),
  };
}
