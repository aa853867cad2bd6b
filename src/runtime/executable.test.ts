import { expect, test } from "vitest";
import { traceFunction } from "../../test/trace-function.ts";
import { wrap } from "../fx/function.ts";
import type { Graph } from "../fx/graph.ts";
import type { Operand, Traceable } from "../fx/traceable.ts";
import { Tracer } from "../fx/tracer.ts";
import { f32, i64 } from "../fx/types.ts";
import { add, mul, silu } from "../ops/arithmetic.ts";
import { embedding, linear } from "../ops/linear.ts";
import { rotaryTable, rotate } from "../ops/rotary.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import { Executable, type Value } from "./executable.ts";
import { Runtime } from "./runtime.ts";

const runtime = await Runtime.create({ threads: 1 });

/** Runs on the CPU in JavaScript: 2x. */
const twice = wrap(
  "twice",
  ([x]) => x,
  async (x) =>
    new Tensor(
      "F32",
      x.shape,
      Float32Array.from(x.data as Float32Array, (value) => 2 * value),
    ),
);
/** cos + sin of a rotary table, which it reads as a whole. */
const sumOfTable = wrap(
  "sum_of_table",
  ([table]) => ("elements" in table ? table.elements[0] : table),
  (cos, sin) =>
    new Tensor(
      "F32",
      cos.shape,
      (cos.data as Float32Array).map((value, i) => value + Number(sin.data[i])),
    ),
);

test("opaque calls run as JavaScript between the compiled parts", async () => {
  const graph = traceFunction((x, y) => add(mul(twice(add(x, y)), y), twice(x)), { x: f32("batch"), y: f32("batch") });
  const result = await evaluate(graph, { x: vector(1, 2), y: vector(10, 20) });
  expect(result[0]).toBeAllClose(vector(2 * 11 * 10 + 2, 2 * 22 * 20 + 4));
});

test("a graph of opaque calls alone runs without ONNX Runtime's help", async () => {
  const graph = traceFunction((x) => twice(twice(x)), { x: f32("batch") });
  expect((await evaluate(graph, { x: vector(1, 2) }))[0]).toBeAllClose(vector(4, 8));
});

test("a tuple crosses from a compiled part to an opaque call, as a whole and by element", async () => {
  const graph = traceFunction(
    (positions, frequencies) => {
      const table = rotaryTable(positions, frequencies, { scaling: 1 });
      const [cos, sin] = table;
      return { whole: sumOfTable(table), elements: add(twice(cos), twice(sin)) };
    },
    { positions: i64(1, "seq"), frequencies: f32(1) },
  );
  const result = await evaluate(graph, { positions: int64([1, 3], 0, 1, 2), frequencies: vector(1) });
  const sums = [0, 1, 2].map((angle) => Math.cos(angle) + Math.sin(angle));
  expect(result.whole).toBeAllClose(float32([1, 3, 1], ...sums));
  expect(result.elements).toBeAllClose(float32([1, 3, 1], ...sums.map((sum) => 2 * sum)));
});

test("a tuple goes in as a list of tensors, and comes out as one", async () => {
  const table = { elements: [f32(1, "seq", 1), f32(1, "seq", 1)] };
  const graph = traceFunction(
    (x, cosSin) => {
      const [cos, sin] = cosSin;
      return { rotated: rotate(x, cos, sin, { heads: 1 }), table: cosSin, sin };
    },
    { x: f32("batch", "seq", 2), table },
  );
  const [cos, sin] = [float32([1, 2, 1], 1, 0), float32([1, 2, 1], 0, 1)]; // angles 0 and π/2
  const result = await evaluate(graph, { x: float32([1, 2, 2], 3, 4, 5, 6), table: [cos, sin] });
  expect(result.rotated).toBeAllClose(float32([1, 2, 2], 3, 4, -6, 5));
  expect(result.table).toEqual([cos, sin]);
  expect(result.sin).toBeAllClose(sin);
});

test("one executable runs at any size of batch and sequence", async () => {
  const graph = traceFunction((x, w) => silu(linear(x, w)), { x: f32("batch", "seq", 2), w: f32(1, 2) });
  const executable = await Executable.compile(graph, runtime);
  const sessions = runtime.sessionCount;
  for (const shape of [
    [1, 1, 2],
    [3, 5, 2],
    [2, 1, 2],
    [1, 7, 2],
  ]) {
    const x = float32(shape, ...Array.from({ length: elementCount(shape) }, (_, i) => i / 4));
    const { 0: y } = await executable.run({ x, w: float32([1, 2], 1, -2) }, noParameters);
    const dots = Array.from({ length: x.data.length / 2 }, (_, row) => x.data[2 * row] - 2 * x.data[2 * row + 1]);
    expect(y).toBeAllClose(float32([...shape.slice(0, 2), 1], ...dots.map((dot) => dot / (1 + Math.exp(-dot)))));
  }
  expect(runtime.sessionCount).toBe(sessions);
});

test("an executable keeps nothing between runs, and leaves its inputs as they are", async () => {
  const graph = traceFunction((x) => add(twice(x), x), { x: f32("batch") });
  const executable = await Executable.compile(graph, runtime);
  const x = vector(1, 2);
  const first = await executable.run({ x }, noParameters);
  await executable.run({ x: vector(7) }, noParameters);
  expect(first[0]).toBeAllClose(vector(3, 6));
  expect(x).toBeAllClose(vector(1, 2));
});

test("an output can be an input or a parameter", async () => {
  const { graph, parameters } = scaled(vector(5, 6));
  const result = await (await Executable.compile(graph, runtime)).run({ x: vector(1, 2) }, parameters);
  expect(result.input).toBeAllClose(vector(1, 2));
  expect(result.product).toBeAllClose(vector(5, 12));
});

test("graphs of equal structure share a session, whatever their parameters hold", async () => {
  const [first, second] = [scaled(vector(5, 6)), scaled(vector(7, 8))];
  const executables = [await Executable.compile(first.graph, runtime), await Executable.compile(second.graph, runtime)];
  const sessions = runtime.sessionCount;
  await Executable.compile(scaled(vector(0, 0)).graph, runtime);
  expect(runtime.sessionCount).toBe(sessions);
  const run = async (index: number, { parameters }: typeof first) =>
    (await executables[index].run({ x: vector(1, 1) }, parameters)).product;
  expect(await run(0, first)).toBeAllClose(vector(5, 6));
  expect(await run(1, second)).toBeAllClose(vector(7, 8));
  expect(executables[0].parameterPaths).toEqual(["scale"]);
});

test("memory is asked for where a result is written into it, and not for rows that are read", async () => {
  const table = { type: f32(3, 2) };
  const root: Traceable = {
    runForward: ([ids]) => {
      const rows = embedding(ids as Operand, table);
      return { rows, sum: add(rows, rows) };
    },
    namedModules: () => [],
    namedParameters: () => [["table", table]],
  };
  const executable = await Executable.compile(new Tracer().trace(root, { ids: i64("seq") }), runtime);
  const asked: string[] = [];
  const parameters = { get: noParameters.get, rows: async () => float32([1, 2], 5, 6) };
  const result = await executable.run({ ids: int64([1], 2) }, parameters, (name, dtype, shape) => {
    asked.push(name);
    return Tensor.zeros(dtype, shape);
  });
  expect(asked).toEqual(["sum"]);
  expect(result.rows).toBeAllClose(float32([1, 2], 5, 6));
  expect(result.sum).toBeAllClose(float32([1, 2], 10, 12));
});

/** x · scale, and x itself, for a parameter `scale`. */
function scaled(scale: Tensor) {
  const parameter = { type: f32(...scale.shape) };
  const root: Traceable = {
    runForward: ([x]) => ({ product: mul(x as Operand, parameter), input: x as never }),
    namedModules: () => [],
    namedParameters: () => [["scale", parameter]],
  };
  const graph = new Tracer().trace(root, { x: f32(2) });
  return { graph, parameters: { get: async () => scale, rows: async () => scale } };
}

const absent = (path: string) => Promise.reject(new Error(`${path}: this graph has no parameters`));
const noParameters = { get: absent, rows: absent };

async function evaluate(graph: Graph, inputs: Readonly<Record<string, Value>>): Promise<Record<string, Value>> {
  return (await Executable.compile(graph, runtime)).run(inputs, noParameters);
}

function vector(...values: number[]): Tensor<"F32"> {
  return float32([values.length], ...values);
}

function float32(shape: readonly number[], ...values: number[]): Tensor<"F32"> {
  return new Tensor("F32", shape, Float32Array.from(values));
}

function int64(shape: readonly number[], ...values: number[]): Tensor<"I64"> {
  return new Tensor("I64", shape, BigInt64Array.from(values, BigInt));
}
