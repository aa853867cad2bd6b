import type { Operand } from "../fx/traceable.ts";
import { float, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/** Scales each row of `x` to unit root-mean-square, then by `weight` (arXiv:1910.07467). */
export const rmsNorm = defineOp<[x: Operand, weight: Operand], { eps: number }>({
  name: "rms_norm",
  infer([x, weight]) {
    if (weight.shape[0] !== x.shape.at(-1)) throw mismatch("rms_norm", weight, `${x.shape.at(-1)} values`);
    return x;
  },
  lower: (inputs, { eps }) => onnx("RMSNormalization", inputs, { axis: -1, epsilon: float(eps) }),
});
