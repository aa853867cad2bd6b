import { expect, test } from "vitest";
import { add, mul } from "../ops/arithmetic.ts";
import { Graph, graphIsWellFormed } from "./graph.ts";
import { Namespace } from "./names.ts";
import type { Node } from "./node.ts";
import { formatCode, numberLines } from "./print.ts";
import { f32 } from "./types.ts";

const type = f32("batch", 4);

/** x → double → (dead), x → square; square is returned. */
function smallGraph() {
  const graph = new Graph();
  const x = graph.placeholder("x", type);
  const scale = graph.getAttr("mlp.scale", f32(4));
  const double = graph.callFunction(add.operator, [x, x], {}, type);
  const square = graph.callFunction(mul.operator, [x, scale], {}, type, "mlp");
  return { graph, x, scale, double, square };
}

/** Nodes are compared by name: a comparison of values would iterate them, which they refuse. */
const names = (nodes: Iterable<Node>) => [...nodes].map(({ name }) => name);

test("a graph prints as its nodes with their types", () => {
  const { graph, square } = smallGraph();
  graph.output({ y: square });
  expect(String(graph)).toMatchInlineSnapshot(`
    "%x: F32[batch,4] = placeholder[x]()
    %mlp_scale: F32[4] = get_attr[mlp.scale]()
    %add: F32[batch,4] = call_function[add](%x, %x)
    %mul: F32[batch,4] = call_function[mul](%x, %mlp_scale)
    return {y: %mul}"
  `);
});

test("a graph prints as numbered code, a line marked", () => {
  const { graph, square } = smallGraph();
  graph.output(square);
  expect(numberLines(formatCode(graph.nodes), 3)).toMatchInlineSnapshot(`
    "  1 forward(x) {
      2   const mlp_scale = this.mlp.scale;
      3   const add = add(x, x);
    > 4   const mul = mul(x, mlp_scale);
      5   return mul;
      6 }"
  `);
});

test("users hold each reader once, inputs each mention", () => {
  const { x, double, square } = smallGraph();
  expect(names(x.users)).toEqual([double.name, square.name]);
  expect(names(double.inputs)).toEqual(["x", "x"]);
  expect(names(double.allInputNodes)).toEqual(["x"]);
});

test("dead code is removed, placeholders stay", () => {
  const { graph, x, square } = smallGraph();
  graph.output(square);
  expect(graph.eliminateDeadCode()).toBe(true);
  expect(graph.nodes.map(({ name }) => name)).toEqual(["x", "mlp_scale", "mul", "output"]);
  expect(names(x.users)).toEqual([square.name]);
  expect(graph.eliminateDeadCode()).toBe(false);
});

test("an element of a tuple is one node, however often it is asked for", () => {
  const graph = new Graph();
  const table = graph.placeholder("table", { elements: [type, f32(2)] });
  const [first, second] = table;
  expect(graph.getItem(table, 0)).toBe(first);
  expect(second.shape).toEqual([2]);
  expect(graph.nodes).toHaveLength(3);
});

test("lint refuses a node of another graph and one after the output", () => {
  const foreign = new Graph().placeholder("x", type);
  const graph = new Graph();
  graph.callFunction(add.operator, [foreign, foreign], {}, type);
  expect(() => graph.lint()).toThrow("%add: reads %x, expected only earlier nodes of its graph");
  const ended = new Graph();
  ended.output(ended.placeholder("x", type));
  ended.placeholder("late", type);
  expect(() => ended.lint()).toThrow("%late: stands after the output");
});

test("a graph is well formed until users and inputs disagree", () => {
  const { graph, x, double } = smallGraph();
  expect(graphIsWellFormed(new Graph())).toBe(true);
  expect(graphIsWellFormed(graph)).toBe(true);
  x.users.delete(double);
  expect(graphIsWellFormed(graph)).toBe(false);
});

test("names are identifiers, each handed out once; a repeated call never takes another module's name", () => {
  const names = new Namespace();
  const created = ["model.layers.0", "0.weight", "class", "add", "add"].map((name) => names.create(name));
  expect(created).toEqual(["model_layers_0", "_0_weight", "class_1", "add", "add_1"]);
  expect(names.create("model.layers.0", { repeat: true })).toBe("model_layers_0__2");
});
