import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import type { Node } from "../src/fx/node.ts";
import { tensorTypes } from "../src/fx/types.ts";
import { gelu, geluTanh, relu, sigmoid, softCap } from "../src/ops/activation.ts";
import { affine } from "../src/ops/affine.ts";
import { add, mul, scale, silu } from "../src/ops/arithmetic.ts";
import { attention, causalAttention, causalMask, onesLike, positionIds } from "../src/ops/attention.ts";
import { addMagnitudes, columnMaximum, columnMinimum } from "../src/ops/column-statistics.ts";
import { accumulateGram } from "../src/ops/gram.ts";
import { columns, mergeHeads, splitHeads } from "../src/ops/heads.ts";
import { embedding, linear, linearBias } from "../src/ops/linear.ts";
import { nextTokenLoss } from "../src/ops/loss.ts";
import { layerNorm, offsetRmsNorm, rmsNorm } from "../src/ops/norm.ts";
import { shiftPositions, textPositions } from "../src/ops/positions.ts";
import { dynamicFrequencies, rotaryTable, rotate, selectFrequencies } from "../src/ops/rotary.ts";
import { addRouted, gatherRouted, routedTo, routeTokens, shareOfRouted, zerosLike } from "../src/ops/routing.ts";
import { squaredError } from "../src/ops/squared-error.ts";
import { transformBlocks } from "../src/ops/transform.ts";
import { Executable } from "../src/runtime/executable.ts";
import { Runtime } from "../src/runtime/runtime.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { quantizationCases } from "./quantization-cases.ts";
import { readSafetensors } from "./read-safetensors.ts";
import { traceFunction } from "./trace-function.ts";

const golden = new Map(
  ["ops", "quantization-ops", "routing-ops", "smoothing-ops", "transform-ops"].flatMap((file) => [
    ...readSafetensors(new URL(`./fixtures/ops/${file}.safetensors`, import.meta.url)),
  ]),
);
const runtime = await Runtime.create({ threads: 1 });

const attend = { heads: 4, kvHeads: 2, scale: 0.5 };
const stretch = { base: 10_000, size: 8, factor: 4, maxPositions: 8 };

/** Each case of the fixture: what is called on its inputs. */
const CASES: Readonly<Record<string, (...inputs: Node[]) => Node>> = {
  add,
  "add.row": add,
  "add.left": add,
  "add.integers": add,
  mul,
  "mul.column": mul,
  "mul.both": mul,
  silu,
  linear,
  "linear.matrix": linear,
  linear_bias: linearBias,
  embedding,
  accumulate_gram: (x, total) => accumulateGram(x, total, { block: 0 }),
  "accumulate_gram.matrix": (x, total) => accumulateGram(x, total, { block: 0 }),
  rms_norm: (x, weight) => rmsNorm(x, weight, { eps: 1e-5 }),
  "rms_norm.small": (x, weight) => rmsNorm(x, weight, { eps: 1e-2 }),
  position_ids: positionIds,
  ones_like: onesLike,
  causal_mask: (mask) => causalMask(mask, { window: null }),
  "causal_mask.padded": (mask) => causalMask(mask, { window: null }),
  "causal_mask.window1": (mask) => causalMask(mask, { window: 1 }),
  "causal_mask.window3": (mask) => causalMask(mask, { window: 3 }),
  "causal_mask.window100": (mask) => causalMask(mask, { window: 100 }),
  attention: (q, k, v, mask) => attention(q, k, v, mask, attend),
  "attention.padded": (q, k, v, mask) => attention(q, k, v, mask, attend),
  "attention.window": (q, k, v, mask) => attention(q, k, v, mask, attend),
  "attention.scale": (q, k, v, mask) => attention(q, k, v, mask, { ...attend, scale: 0.125 }),
  "attention.heads": (q, k, v, mask) => attention(q, k, v, mask, { ...attend, kvHeads: 4 }),
  "attention.one": (q, k, v, mask) => attention(q, k, v, mask, { ...attend, kvHeads: 1 }),
  "attention.wide": (q, k, v, mask) => attention(q, k, v, mask, attend),
  "attention.wide.padded": (q, k, v, mask) => attention(q, k, v, mask, attend),
  causal_attention: (q, k, v) => causalAttention(q, k, v, attend),
  "causal_attention.wide": (q, k, v) => causalAttention(q, k, v, attend),
  "attention.wide.soft_cap": (q, k, v, mask) => attention(q, k, v, mask, { ...attend, softCap: 2 }),
  "attention.wide.window": (q, k, v, mask) => attention(q, k, v, mask, attend),
  rotary_table: (positions, frequency) => rotaryTable(positions, frequency, { scaling: 1 }),
  "rotary_table.rows": (positions, frequency) => rotaryTable(positions, frequency, { scaling: 1 }),
  "rotary_table.scaled": (positions, frequency) => rotaryTable(positions, frequency, { scaling: 1.25 }),
  rotate: (x, cos, sin) => rotate(x, cos, sin, { heads: 2 }),
  "rotate.key": (x, cos, sin) => rotate(x, cos, sin, { heads: 1 }),
  "rotate.rows": (x, cos, sin) => rotate(x, cos, sin, { heads: 2 }),
  "rotate.rows.key": (x, cos, sin) => rotate(x, cos, sin, { heads: 1 }),
  "select_frequencies.short": (positions, short, long) => selectFrequencies(positions, short, long, { beyond: 5 }),
  "select_frequencies.long": (positions, short, long) => selectFrequencies(positions, short, long, { beyond: 5 }),
  "dynamic_frequencies.short": (positions) => dynamicFrequencies(positions, stretch),
  "dynamic_frequencies.long": (positions) => dynamicFrequencies(positions, stretch),
  next_token_loss: nextTokenLoss,
  scale: (x) => scale(x, { factor: 0.3 }),
  gelu,
  gelu_tanh: geluTanh,
  relu,
  sigmoid,
  soft_cap: (x) => softCap(x, { cap: 5 }),
  offset_rms_norm: (x, weight) => offsetRmsNorm(x, weight, { eps: 1e-5 }),
  layer_norm: (x, weight, bias) => layerNorm(x, weight, bias, { eps: 1e-5 }),
  split_heads: (x) => splitHeads(x, { heads: 4 }),
  merge_heads: mergeHeads,
  columns: (x) => columns(x, { begin: 3, end: 7 }),
  "columns.last": (x) => columns(x, { begin: 2, end: 4 }),
  "attention.soft_cap": (q, k, v, mask) => attention(q, k, v, mask, { ...attend, softCap: 2 }),
  "rotate.partial": (x, cos, sin) => rotate(x, cos, sin, { heads: 2 }),
  text_positions: textPositions,
  affine,
  shift_positions: (positions) => shiftPositions(positions, { offset: 2 }),
  route_tokens: (logits) => routeTokens(logits, { topK: 2, normalize: false }),
  "route_tokens.normalized": (logits) => routeTokens(logits, { topK: 2, normalize: true }),
  routed_to: (experts) => routedTo(experts, { expert: 1 }),
  "routed_to.none": (experts) => routedTo(experts, { expert: 3 }),
  gather_routed: gatherRouted,
  "gather_routed.none": gatherRouted,
  add_routed: addRouted,
  "add_routed.none": addRouted,
  share_of_routed: shareOfRouted,
  "share_of_routed.none": shareOfRouted,
  zeros_like: zerosLike,
  "accumulate_gram.empty": (x, total) => accumulateGram(x, total, { block: 0 }),
  "linear.empty": linear,
  transform_blocks: (x, matrix) => transformBlocks(x, matrix, { transposed: false, factor: 0.5 }),
  "transform_blocks.blocks": (x, matrix) => transformBlocks(x, matrix, { transposed: false, factor: 0.5 }),
  "transform_blocks.transposed": (x, matrix) => transformBlocks(x, matrix, { transposed: true, factor: 0.5 }),
  "transform_blocks.matrix": (x, matrix) => transformBlocks(x, matrix, { transposed: false, factor: 0.5 }),
  column_minimum: columnMinimum,
  "column_minimum.first": columnMinimum,
  "column_minimum.empty": columnMinimum,
  column_maximum: columnMaximum,
  "column_maximum.first": columnMaximum,
  "column_maximum.empty": columnMaximum,
  add_magnitudes: addMagnitudes,
  "add_magnitudes.empty": addMagnitudes,
  squared_error: squaredError,
  "squared_error.equal": squaredError,
  ...quantizationCases,
};

test.each(Object.keys(CASES))("%s gives what PyTorch gives", async (name) => {
  const inputs = tensorsOf(name, "in");
  const graph = traceFunction(CASES[name], inputs);
  const executable = await Executable.compile(graph, runtime);
  const outputs = Object.values(await executable.run(inputs, noParameters)).flat();

  const expected = Object.values(tensorsOf(name, "out"));
  expect(outputs.map(({ dtype }) => dtype)).toEqual(expected.map(({ dtype }) => dtype));
  for (const [index, output] of outputs.entries()) {
    expect(output).toBeAllClose(expected[index], output.is("F32") ? { atol: 1e-6, rtol: 1e-6 } : { atol: 0 });
  }
});

test.each(Object.keys(CASES))("the type of %s is the dtype and shape of PyTorch's result", (name) => {
  const [result] = traceFunction(CASES[name], tensorsOf(name, "in")).outputs.values();
  const expected = Object.values(tensorsOf(name, "out"));
  const types = tensorTypes(result.type).map(({ dtype, shape }, index) => ({
    dtype,
    shape: shape.map((size, axis) => (typeof size === "number" ? size : expected[index].shape[axis])), // a name fits any
  }));
  expect(types).toEqual(expected.map(({ dtype, shape }) => ({ dtype, shape })));
});

test.each(["attention.padded", "attention.wide.padded"])(
  "%s: a query that sees no key attends to nothing: zeros, where transformers gives an average of all values",
  async (name) => {
    const inputs = tensorsOf(name, "in");
    const executable = await Executable.compile(traceFunction(CASES[name], inputs), runtime);
    const [output] = Object.values(await executable.run(inputs, noParameters)).flat();
    const [batch, seq, columns] = output.shape;
    const second = output.data.slice((batch - 1) * seq * columns);
    expect(second.slice(0, 2 * columns).every((value) => Number(value) === 0)).toBe(true);
    expect(second[2 * columns]).not.toBe(0);
  },
);

test("every case of the fixture is compared", () => {
  const names = new Set([...golden.keys()].map((key) => key.replace(/\.(in|out)\.\d+$/, "")));
  expect(Object.keys(CASES).sort()).toEqual([...names].sort());
});

test("every operator of src/ops has a case", async () => {
  const tested = Object.entries(CASES).flatMap(([name, body]) =>
    traceFunction(body, tensorsOf(name, "in")).nodes.map(({ targetName }) => targetName),
  );
  const operators = await exportedOperators();
  expect(operators).toContain("add");
  expect(operators.filter((name) => !tested.includes(name))).toEqual([]);
});

const absent = (path: string) => Promise.reject(new Error(`${path}: an operator has no parameters`));
const noParameters = { get: absent, rows: absent };

/** The tensors on one side of a case, named `in0`, `in1`, … in order. */
function tensorsOf(name: string, side: "in" | "out"): Record<string, Tensor> {
  const tensors: Record<string, Tensor> = {};
  for (let index = 0; golden.has(`${name}.${side}.${index}`); index++) {
    tensors[`${side}${index}`] = golden.get(`${name}.${side}.${index}`) as Tensor;
  }
  return tensors;
}

/** Names of the operators that any file of src/ops exports. */
async function exportedOperators(): Promise<string[]> {
  const folder = new URL("../src/ops/", import.meta.url);
  const files = readdirSync(folder).filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"));
  const modules: Record<string, unknown>[] = await Promise.all(files.map((file) => import(new URL(file, folder).href)));
  return modules.flatMap((module) => Object.values(module)).flatMap(operatorName);
}

function operatorName(exported: unknown): string[] {
  const { operator } = exported as Partial<typeof add>;
  return operator ? [operator.name] : [];
}
