import onnxProto from "onnx-proto";
import { expect, test } from "vitest";
import { traceFunction } from "../../test/trace-function.ts";
import { wrap } from "../fx/function.ts";
import type { Graph } from "../fx/graph.ts";
import { f32, i64 } from "../fx/types.ts";
import { add, mul, silu } from "../ops/arithmetic.ts";
import { rotaryTable } from "../ops/rotary.ts";
import { type LoweredModel, lowerNodes } from "./lower.ts";

test("names in the model follow from the order alone, so equal layers give equal bytes", () => {
  const layer = (x: string, weight: string) =>
    lower(traceFunction((a, b) => silu(mul(a, b)), { [x]: f32("batch", 4), [weight]: f32(4) }));
  expect(layer("hidden", "layer_0_weight").model).toEqual(layer("layer_0", "layer_1_weight").model);
});

test.each([
  ["another operator", traceFunction((a, b) => silu(add(a, b)), { a: f32("batch", 4), b: f32(4) })],
  ["another shape", traceFunction((a, b) => silu(mul(a, b)), { a: f32("batch", 8), b: f32(8) })],
  ["inputs in another order", traceFunction((a, b) => silu(mul(b, a)), { a: f32("batch", 4), b: f32(4) })],
])("%s gives other bytes", (_, graph) => {
  const plain = lower(traceFunction((a, b) => silu(mul(a, b)), { a: f32("batch", 4), b: f32(4) }));
  expect(lower(graph).model).not.toEqual(plain.model);
});

test("ONNX nodes are named for the graph node that they are made from", () => {
  const { graph } = decode(lower(traceFunction((x) => silu(add(x, x)), { x: f32(3) })));
  expect(graph?.node?.map(({ opType, name }) => `${opType} ${name}`)).toEqual([
    "Add n0:t0",
    "QuickGelu n1:t1",
    "Identity o0",
  ]);
});

test("both tensors of a tuple are outputs, and what they share is emitted once", () => {
  const graph = traceFunction((positions, frequencies) => rotaryTable(positions, frequencies, { scaling: 1 }), {
    positions: i64(1, "seq"),
    frequencies: f32(4),
  });
  const lowered = lower(graph);
  expect(lowered.outputs.map(({ node, index }) => [node.name, index])).toEqual([
    ["rotary_table", 0],
    ["rotary_table", 1],
  ]);
  const opTypes = decode(lowered).graph?.node?.map(({ opType }) => opType);
  expect(opTypes).toEqual(["Cast", "Unsqueeze", "Mul", "Cos", "Sin", "Identity", "Identity"]);
});

test("what is no operator cannot be lowered", () => {
  const opaque = wrap(
    "opaque",
    ([x]) => x,
    (x) => x,
  );
  const graph = traceFunction((x) => opaque(x), { x: f32(3) });
  expect(() => lower(graph)).toThrow("%opaque: opaque has no lowering, expected an operator.");
});

test("nodes out of order cannot be lowered", () => {
  const nodes = callsOf(traceFunction((x) => silu(add(x, x)), { x: f32(3) }));
  expect(() => lowerNodes(nodes.toReversed(), nodes)).toThrow(
    "%add: read before it is made, expected nodes in graph order.",
  );
});

/** All calls of a graph as one model that gives what the graph returns. */
function lower(graph: Graph): LoweredModel {
  return lowerNodes(callsOf(graph), [...graph.outputs.values()]);
}

function callsOf(graph: Graph): Graph["nodes"] {
  return graph.nodes.filter(({ op }) => op === "call_function");
}

function decode({ model }: LoweredModel): onnxProto.onnx.IModelProto {
  return onnxProto.onnx.ModelProto.decode(model);
}
