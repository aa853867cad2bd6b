import type { Operand } from "../fx/traceable.ts";
import { carriesBasis, carriesThroughFactors } from "./basis.ts";
import { keepsFactors } from "./column-factors.ts";
import { scalar } from "./constants.ts";
import { float, onnx } from "./onnx.ts";
import { defineOp } from "./operator.ts";
import { broadcast } from "./shapes.ts";

type Binary = [a: Operand, b: Operand];

/** Elementwise a + b, with broadcasting. */
export const add = defineOp<Binary>({
  name: "add",
  infer: ([a, b]) => broadcast("add", a, b),
  lower: (inputs) => onnx("Add", inputs),
  basis: carriesBasis(0, 1),
});

/** Elementwise a · b, with broadcasting. */
export const mul = defineOp<Binary>({
  name: "mul",
  infer: ([a, b]) => broadcast("mul", a, b),
  lower: (inputs) => onnx("Mul", inputs),
  columns: keepsFactors,
  basis: carriesThroughFactors,
});

/** x · factor, elementwise. */
export const scale = defineOp<[x: Operand], { factor: number }>({
  name: "scale",
  infer: ([x]) => x,
  lower: ([x], { factor }) => onnx("Mul", [x, scalar("F32", factor)]),
  columns: keepsFactors,
  basis: carriesBasis(0),
});

/** x · sigmoid(x), also called Swish (arXiv:1710.05941). */
export const silu = defineOp<[x: Operand]>({
  name: "silu",
  infer: ([x]) => x,
  // One pass over x, where ONNX's Swish takes three.
  lower: ([x]) => onnx("QuickGelu", [x], { alpha: float(1) }, "com.microsoft"),
});
