import { expect, expectTypeOf, test } from "vitest";
import { traceFunction } from "../../test/trace-function.ts";
import { TraceError } from "../errors.ts";
import { Graph } from "../fx/graph.ts";
import type { Operand } from "../fx/traceable.ts";
import { f32 } from "../fx/types.ts";
import { onnx } from "./onnx.ts";
import { defineOp, isOperator } from "./operator.ts";

const scaleBy = defineOp<[x: Operand], { factor: number }>({
  name: "scale_by",
  infer: ([x]) => x,
  lower: ([x]) => onnx("Identity", [x]),
});
const negate = defineOp<[x: Operand]>({
  name: "negate",
  infer: ([x]) => x,
  lower: ([x]) => onnx("Neg", [x]),
});

test("a call records one node with its operands and its attributes", () => {
  const graph = traceFunction((x) => scaleBy(negate(x), { factor: 2 }), { x: f32(3) });
  expect(String(graph)).toMatchInlineSnapshot(`
    "%x: F32[3] = placeholder[x]()
    %negate: F32[3] = call_function[negate](%x)
    %scale_by: F32[3] = call_function[scale_by](%negate, factor=2)
    return %scale_by"
  `);
});

test("attributes are an argument of the call exactly where the operator has some", () => {
  expectTypeOf(scaleBy).parameters.toEqualTypeOf<[x: Operand, { factor: number }]>();
  expectTypeOf(negate).parameters.toEqualTypeOf<[x: Operand]>();
});

test("a call outside a trace is an error", () => {
  const untraced = new Graph().placeholder("x", f32(3));
  expect(() => negate(untraced)).toThrow(TraceError);
  expect(() => negate({ type: f32(3) })).toThrow(
    new TraceError(
      "negate: called with values of 0 graphs being traced, expected 1. " +
        "Call it inside a forward, with at least one value that the forward was given.",
    ),
  );
});

test("an operator is told from other targets by its lowering", () => {
  expect(isOperator(negate.operator)).toBe(true);
  expect(isOperator({ name: "getitem", infer: () => f32() })).toBe(false);
  expect(isOperator("model.layers.0")).toBe(false);
});
