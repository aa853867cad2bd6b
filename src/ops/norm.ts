import type { Operand } from "../fx/traceable.ts";
import type { TensorType } from "../fx/types.ts";
import { scaledBy } from "./column-factors.ts";
import { scalar } from "./constants.ts";
import { float, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { mismatch } from "./shapes.ts";

/** Scales each row of `x` to unit root-mean-square, then by `weight` (arXiv:1910.07467). */
export const rmsNorm = defineOp<[x: Operand, weight: Operand], { eps: number }>({
  name: "rms_norm",
  infer: ([x, weight]) => inferNorm("rms_norm", x, weight),
  lower: (inputs, { eps }) => onnx("RMSNormalization", inputs, { axis: -1, epsilon: float(eps) }),
  columns: scaledBy([1]),
  basis: { kind: "norms", offset: 0, centres: false },
});

/** {@link rmsNorm} by 1 + weight: Gemma stores how far a weight is from one. */
export const offsetRmsNorm = defineOp<[x: Operand, weight: Operand], { eps: number }>({
  name: "offset_rms_norm",
  infer: ([x, weight]) => inferNorm("offset_rms_norm", x, weight),
  lower: ([x, weight], { eps }) =>
    onnx("RMSNormalization", [x, onnx("Add", [weight, scalar("F32", 1)])], { axis: -1, epsilon: float(eps) }),
  columns: scaledBy([1], 1),
  basis: { kind: "norms", offset: 1, centres: false },
});

/** Brings each row of `x` to mean 0 and variance 1, then scales by `weight` and adds `bias` (arXiv:1607.06450). */
export const layerNorm = defineOp<[x: Operand, weight: Operand, bias: Operand], { eps: number }>({
  name: "layer_norm",
  infer([x, weight, bias]) {
    inferNorm("layer_norm", x, bias);
    return inferNorm("layer_norm", x, weight);
  },
  lower: (inputs, { eps }) => onnx("LayerNormalization", inputs, { axis: -1, epsilon: float(eps) }),
  columns: scaledBy([1, 2]),
  basis: { kind: "norms", offset: 0, bias: 2, centres: true },
});

function inferNorm(op: string, x: TensorType, weight: TensorType): TensorType {
  if (weight.shape[0] !== x.shape.at(-1)) throw mismatch(op, weight, `${x.shape.at(-1)} values`);
  return x;
}
