import type { Operand } from "../fx/traceable.ts";
import { f32 } from "../fx/types.ts";
import { int64 } from "./constants.ts";
import { onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/** Σ (x − expected)² over all elements: F32[1]. */
export const squaredError = defineOp<[x: Operand, expected: Operand]>({
  name: "squared_error",
  infer([x, expected]) {
    if (String(expected.shape) !== String(x.shape))
      throw mismatch("squared_error", expected, `shape [${x.shape.join(", ")}]`);
    return f32(1);
  },
  lower([x, expected]) {
    const sum = onnx("ReduceSumSquare", [onnx("Sub", [x, expected])], { keepdims: 0 });
    return onnx("Reshape", [sum, int64(1)]);
  },
});
