import type { Operand } from "../fx/traceable.ts";
import { keepsFactors } from "./column-factors.ts";
import { scalar } from "./constants.ts";
import { onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";

/** x · Φ(x), with Φ the normal distribution's cumulative function (arXiv:1606.08415). */
export const gelu = defineOp<[x: Operand]>({
  name: "gelu",
  infer: ([x]) => x,
  lower: ([x]) => onnx("Gelu", [x]),
});

/** GELU by its tanh approximation: ½x · (1 + tanh(√(2/π) · (x + 0.044715x³))). */
export const geluTanh = defineOp<[x: Operand]>({
  name: "gelu_tanh",
  infer: ([x]) => x,
  lower: ([x]) => onnx("Gelu", [x], { approximate: "tanh" }),
});

/** max(x, 0). */
export const relu = defineOp<[x: Operand]>({
  name: "relu",
  infer: ([x]) => x,
  lower: ([x]) => onnx("Relu", [x]),
  columns: keepsFactors,
});

/** 1 / (1 + e⁻ˣ). */
export const sigmoid = defineOp<[x: Operand]>({
  name: "sigmoid",
  infer: ([x]) => x,
  lower: ([x]) => onnx("Sigmoid", [x]),
});

/** cap · tanh(x / cap): nearly x where it is small, and never beyond ±cap (arXiv:2408.00118). */
export const softCap = defineOp<[x: Operand], { cap: number }>({
  name: "soft_cap",
  infer: ([x]) => x,
  lower: ([x], { cap }) => onnx("Mul", [onnx("Tanh", [onnx("Div", [x, scalar("F32", cap)])]), scalar("F32", cap)]),
});
