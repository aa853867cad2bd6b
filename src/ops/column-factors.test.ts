import { expect, test } from "vitest";
import { traceFunction } from "../../test/trace-function.ts";
import type { Node } from "../fx/node.ts";
import { Executable } from "../runtime/executable.ts";
import { Runtime } from "../runtime/runtime.ts";
import { Tensor } from "../tensor/tensor.ts";
import { relu } from "./activation.ts";
import { mul, scale } from "./arithmetic.ts";
import { attention, causalMask, onesLike, positionIds } from "./attention.ts";
import { columns, mergeHeads, splitHeads } from "./heads.ts";
import { linear, linearBias } from "./linear.ts";
import { layerNorm, offsetRmsNorm, rmsNorm } from "./norm.ts";
import { isOperator } from "./operator.ts";
import { zerosLike } from "./routing.ts";

const runtime = await Runtime.create({ threads: 1 });
const absent = () => Promise.reject(new Error("no parameters"));
const noParameters = { get: absent, rows: absent };
const FACTORS = Float32Array.of(2, 4, 0.5, 8, 0.25, 16, 1, 32); // powers of two: exact

const x: Tensor<"F32"> = random([1, 3, 8], 1);
const row = random([8], 2);

test.each<[string, (x: Node, ...others: Node[]) => Node, ...Tensor[]]>([
  ["mul", mul, random([1, 3, 8], 3)],
  ["scale", (value) => scale(value, { factor: 3 })],
  ["relu", (value) => relu(value)],
  ["split_heads", (value) => splitHeads(value, { heads: 2 })],
  ["columns", (value) => columns(value, { begin: 2, end: 5 })],
  ["columns of heads", (value) => columns(splitHeads(value, { heads: 2 }), { begin: 1, end: 3 })],
  ["merge_heads", (value) => mergeHeads(columns(splitHeads(value, { heads: 4 }), { begin: 1, end: 2 }))],
])("factors on columns of what %s reads show in the columns that it names", async (_, body, ...others) => {
  const plain = await run(body, x, ...others);
  const scaled = await run(body, timesFactors(x), ...others);
  const sources = sourcesOf(body, x, others);
  const ratios = Array.from(plain.data, (value, i) => [
    value,
    (value as number) * FACTORS[sources[i % sources.length]],
  ]);
  expect(Array.from(scaled.data)).toEqual(ratios.map(([, expected]) => expected));
});

test("factors on values show in each query head that reads them", async () => {
  const ids = new Tensor("I64", [1, 3], BigInt64Array.of(1n, 2n, 3n));
  const q = random([1, 3, 16], 4);
  const body = (v: Node, query: Node, key: Node, tokens: Node) =>
    attention(query, key, v, causalMask(tokens, { window: null }), { heads: 4, kvHeads: 2, scale: 0.5 });
  const plain = await run(body, x, q, x, ids);
  const scaled = await run(body, timesFactors(x), q, x, ids);
  const sources = sourcesOf(body, x, [q, x, ids], 2);
  expect(sources).toEqual([0, 1, 2, 3, 0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7]);
  const expected = plain.data.map((value, i) => (value as number) * FACTORS[sources[i % 16]]);
  expect(scaled).toBeAllClose(new Tensor("F32", plain.shape, Float32Array.from(expected)), { atol: 1e-5 });
});

test.each<[string, (x: Node, ...others: Node[]) => Node, ...Tensor[]]>([["zeros_like", (value) => zerosLike(value)]])(
  "%s gives the same, whatever the values",
  async (_, body, ...others) => {
    expect(rulesOf(body, x, others)?.factors?.(0, {}, [])).toEqual({ effect: "none" });
    expect(await run(body, timesFactors(x), ...others)).toEqual(await run(body, x, ...others));
  },
);

test.each([onesLike, positionIds])("tokens are only counted", ({ operator }) => {
  expect(operator.columns?.factors?.(0, {}, [])).toEqual({ effect: "none" });
});

test.each<[string, (x: Node, ...others: Node[]) => Node, ...Tensor<"F32">[]]>([
  ["rms_norm", (value, weight) => rmsNorm(value, weight, { eps: 1e-6 }), row],
  ["offset_rms_norm", (value, weight) => offsetRmsNorm(value, weight, { eps: 1e-6 }), row],
  ["layer_norm", (value, weight, bias) => layerNorm(value, weight, bias, { eps: 1e-6 }), row, random([8], 5)],
  ["linear", linear, random([8, 8], 6)],
  ["linear_bias", linearBias, random([8, 8], 7), random([8], 8)],
])(
  "multiplying the rows of all parameters of %s by factors multiplies its columns by them",
  async (_, body, ...others) => {
    const declared = rulesOf(body, x, others)?.parameters ?? [];
    const changed = others.map((value, index) => {
      const found = declared.find(({ operand }) => operand === index + 1);
      return found ? timesRowFactors(value, found.offset) : value;
    });
    const expected = timesFactors(await run(body, x, ...others));
    expect(await run(body, x, ...changed)).toBeAllClose(expected, { atol: 1e-4 });
  },
);

test.each([linear, linearBias])(
  "inverse factors on a weight's columns undo those on what it multiplies",
  async (body) => {
    const others = [random([4, 8], 9), ...(body === linearBias ? [random([4], 10)] : [])];
    expect(rulesOf(body as never, x, others)?.factors?.(0, {}, [])).toEqual({ effect: "undone", by: 1 });
    const inverse = new Tensor(
      "F32",
      [4, 8],
      Float32Array.from(others[0].data, (value, i) => value / FACTORS[i % 8]),
    );
    const found = await run(body as never, timesFactors(x), inverse, ...others.slice(1));
    expect(found).toBeAllClose(await run(body as never, x, ...others), { atol: 1e-5 });
  },
);

function random(shape: number[], seed: number): Tensor<"F32"> {
  const count = shape.reduce((product, size) => product * size, 1);
  return new Tensor(
    "F32",
    shape,
    Float32Array.from({ length: count }, (_, i) => Math.sin(1.7 * i + 31 * seed)),
  );
}

function timesFactors({ shape, data }: Tensor): Tensor<"F32"> {
  return new Tensor(
    "F32",
    shape,
    Float32Array.from(data as Float32Array, (value, i) => value * FACTORS[i % 8]),
  );
}

function timesRowFactors({ shape, data }: Tensor<"F32">, offset: number): Tensor<"F32"> {
  const width = data.length / 8;
  return new Tensor(
    "F32",
    shape,
    data.map((value, i) => (value + offset) * FACTORS[Math.floor(i / width)] - offset),
  );
}

type Body = (x: Node, ...others: Node[]) => Node;

function trace(body: Body, first: Tensor, others: readonly Tensor[]) {
  const inputs = Object.fromEntries([first, ...others].map((tensor, index) => [`in${index}`, tensor]));
  const types = Object.fromEntries(Object.entries(inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape }]));
  return { inputs, graph: traceFunction(body as never, types) };
}

async function run(body: Body, first: Tensor, ...others: Tensor[]): Promise<Tensor<"F32">> {
  const { inputs, graph } = trace(body, first, others);
  const executable = await Executable.compile(graph, runtime);
  return Object.values(await executable.run(inputs, noParameters)).flat()[0] as Tensor<"F32">;
}

function rulesOf(body: Body, first: Tensor, others: readonly Tensor[]) {
  const { graph } = trace(body, first, others);
  const node = graph.nodes.find(({ op }) => op === "call_function");
  return node && isOperator(node.target) ? node.target.columns : undefined;
}

/** For each column of the result, the column of the first input that its factor comes from. */
function sourcesOf(body: Body, first: Tensor, others: readonly Tensor[], operand = 0): number[] {
  const { graph } = trace(body, first, others);
  let sources = FACTORS.length === first.shape.at(-1) ? Array.from(FACTORS.keys()) : [];
  for (const node of graph.nodes) {
    if (node.op !== "call_function" || !isOperator(node.target) || node.targetName === "causal_mask") continue;
    const types = node.inputs.map((input) => input.tensorType);
    const factors = node.target.columns?.factors?.(operand, node.attrs, types);
    if (factors?.effect !== "kept") throw new Error(`${node.targetName}: factors are lost`);
    const columnsOfResult = node.shape.slice(2).reduce<number>((product, size) => product * Number(size), 1);
    sources = Array.from({ length: columnsOfResult }, (_, column) => sources[factors.source(column)]);
  }
  return sources;
}
