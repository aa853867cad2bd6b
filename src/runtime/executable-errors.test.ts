import { expect, test } from "vitest";
import { traceFunction } from "../../test/trace-function.ts";
import { ExecutionError } from "../errors.ts";
import { wrap } from "../fx/function.ts";
import type { Graph } from "../fx/graph.ts";
import type { Node } from "../fx/node.ts";
import { f32, i64, type ValueType } from "../fx/types.ts";
import { add, silu } from "../ops/arithmetic.ts";
import { embedding } from "../ops/linear.ts";
import { Tensor } from "../tensor/tensor.ts";
import { Executable, NodeError, type Value } from "./executable.ts";
import { Runtime } from "./runtime.ts";

const runtime = await Runtime.create({ threads: 1 });
const zeros = (...shape: number[]) => Tensor.zeros("F32", shape);

const inputTypes = {
  ids: i64("batch", "seq"),
  x: f32("batch", "seq", 4),
  table: { elements: [f32("seq"), f32("seq")] },
};
const ids = Tensor.zeros("I64", [2, 3]);
const table = [zeros(3), zeros(3)];

test.each<[problem: string, inputs: Record<string, Value>, message: string]>([
  ["a missing input", { ids, table }, "input x: nothing, expected F32[batch,seq,4] where batch = 2, seq = 3."],
  ["a surplus input", { ids, x: zeros(2, 3, 4), table, labels: ids }, "inputs: labels, expected only ids, x, table."],
  [
    "another dtype",
    { ids: Tensor.zeros("I32", [2, 3]), x: zeros(2, 3, 4), table },
    "input ids: I32[2,3], expected I64[batch,seq].",
  ],
  [
    "another size of a fixed dimension",
    { ids, x: zeros(2, 3, 5), table },
    "input x: F32[2,3,5], expected F32[batch,seq,4] where batch = 2, seq = 3.",
  ],
  [
    "another rank",
    { ids: Tensor.zeros("I64", [6]), x: zeros(2, 3, 4), table },
    "input ids: I64[6], expected I64[batch,seq].",
  ],
  [
    "a named dimension of two sizes",
    { ids, x: zeros(2, 5, 4), table },
    "input x: F32[2,5,4], expected F32[batch,seq,4] where batch = 2, seq = 3.",
  ],
  [
    "a named dimension of two sizes in a tuple",
    { ids, x: zeros(2, 3, 4), table: [zeros(3), zeros(2)] },
    "input table: F32[3], F32[2], expected (F32[seq], F32[seq]) where seq = 3.",
  ],
  [
    "one tensor for a tuple",
    { ids, x: zeros(2, 3, 4), table: zeros(3) },
    "input table: F32[3], expected (F32[seq], F32[seq]) where seq = 3.",
  ],
])("%s is an error that says what was expected", async (_, inputs, message) => {
  const graph = traceFunction((_ids, x) => silu(x), inputTypes);
  await expect(evaluate(graph, inputs)).rejects.toThrow(new ExecutionError(message));
});

test("a failure inside ONNX Runtime points at the node that failed", async () => {
  const graph = traceFunction((x, tokens, rows) => silu(add(silu(x), embedding(tokens, rows))), {
    x: f32("batch", "seq", 4),
    tokens: i64("batch", "seq"),
    rows: f32(7, 4),
  });
  const tokens = new Tensor("I64", [1, 2], BigInt64Array.of(3n, 7n));
  const failure = await failureOf(graph, { x: zeros(1, 2, 4), tokens, rows: zeros(7, 4) });
  expect(failure.node?.name).toBe("embedding");
  expect(failure.message).toContain("indices element out of data bounds");
  expect(failure.cause).toBeInstanceOf(Error);
});

test("a failure in a later compiled part points at its own node", async () => {
  const shrink = opaque((x) => new Tensor("F32", [1, 2], x.data.slice(0, 2) as Float32Array<ArrayBuffer>), f32(1, "n"));
  const graph = traceFunction((x) => silu(add(silu(x), shrink(silu(x)))), { x: f32(1, "n") });
  const failure = await failureOf(graph, { x: zeros(1, 3) });
  expect(failure.node?.name).toBe("add");
});

test("a failure in an opaque function points at its node and keeps its error", async () => {
  const cause = new RangeError("no more tokens");
  const broken = opaque(() => {
    throw cause;
  });
  const failure = await failureOf(
    traceFunction((x) => add(x, broken(silu(x))), { x: f32(3) }),
    { x: zeros(3) },
  );
  expect(failure.node?.name).toBe("opaque");
  expect(failure.message).toBe("no more tokens");
  expect(failure.cause).toBe(cause);
});

test.each<[result: Tensor, declared: ValueType, message: string]>([
  [zeros(4), f32(3), "opaque: returned F32[4], expected F32[3] as it declares."],
  [Tensor.zeros("I64", [3]), f32(3), "opaque: returned I64[3], expected F32[3] as it declares."],
  [zeros(3), f32("batch", 3), "opaque: returned F32[3], expected F32[batch,3] as it declares."],
])(
  "an opaque function that returns another type than it declares fails there: case %#",
  async (result, declared, message) => {
    const graph = traceFunction((x) => silu(opaque(() => result, declared)(x)), { x: f32(3) });
    const failure = await failureOf(graph, { x: zeros(3) });
    expect(failure.node?.name).toBe("opaque");
    expect(failure.message).toBe(message);
  },
);

function opaque(run: (x: Tensor) => Tensor, type?: ValueType): (x: Node) => Node {
  return wrap("opaque", ([x]) => type ?? x, run);
}

async function failureOf(graph: Graph, inputs: Readonly<Record<string, Value>>): Promise<NodeError> {
  const failure = await evaluate(graph, inputs).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(NodeError);
  return failure as NodeError;
}

async function evaluate(graph: Graph, inputs: Readonly<Record<string, Value>>): Promise<Record<string, Value>> {
  const absent = (path: string) => Promise.reject(new Error(`${path}: this graph has no parameters`));
  const noParameters = { get: absent, rows: absent };
  return (await Executable.compile(graph, runtime)).run(inputs, noParameters);
}
