import { ExecutionError } from "../errors.ts";
import { Graph } from "../fx/graph.ts";
import { GraphModule } from "../fx/graph-module.ts";
import { inlineCalls } from "../fx/inline.ts";
import type { Node } from "../fx/node.ts";
import { Tracer } from "../fx/tracer.ts";
import type { Module } from "../nn/module.ts";
import type { Value } from "../runtime/executable.ts";
import { parametersReadWhole } from "../runtime/row-lookups.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";
import { CompiledGraph } from "./compiled-graph.ts";
import { populateConcreteArgs } from "./concrete-args.ts";
import type { DispatchedModel } from "./dispatch.ts";
import type { Batch } from "./intermediates.ts";
import { runInOrder } from "./run-in-order.ts";
import { Subgraph } from "./subgraph.ts";
import { inputTypes } from "./trace-subgraphs.ts";

/** How much of the model is compared. */
export interface SelfCheckOptions {
  /** Bytes of weights that may be in memory at once; with more, as many of the first subgraphs are compared as fit. */
  readonly memoryBudget?: number;
}

/** How far a value may be off, relative to its largest magnitude: rounding in another order of operations. */
const TOLERANCE = 1e-4;
const DEFAULT_BUDGET = 256 * 2 ** 20;
/** Subgraphs that are compared where the whole model does not fit: at least so many, whatever they take, and at most. */
const [FEWEST, MOST] = [2, 3];
/** Rows and tokens that are enough to see a difference. */
const SAMPLE = [1, 32];

/**
 * Runs the subgraphs on one sample, one after another, and compares what comes out with the model as one graph, traced
 * anew; where its weights do not fit, with the first subgraphs as one.
 *
 * @throws ExecutionError naming the value that differs
 */
export async function selfCheck(
  subgraphs: readonly Subgraph[],
  dispatched: DispatchedModel,
  batch: Batch,
  { memoryBudget = DEFAULT_BUDGET }: SelfCheckOptions = {},
): Promise<void> {
  const sample = sampleOf(batch);
  const fits = parameterBytes(dispatched.model) <= memoryBudget;
  const checked = fits ? subgraphs : firstThatFit(subgraphs, memoryBudget);
  const reference = fits ? traceWhole(dispatched.model, sample) : mergeSubgraphs(checked);
  const expected = await (await CompiledGraph.compile(reference, dispatched)).run(sample, dispatched);
  await dispatched.weights.releaseAll();
  for await (const found of runInOrder(checked, dispatched, [sample])) {
    expectEqual(found, expected, (name, difference, limit) => {
      const what = `${name} differs by ${difference} between the subgraphs in order and as one graph`;
      return new ExecutionError(
        `self-check: ${what}, expected at most ${limit}. Do not trust the partition of this model; please report it.`,
      );
    });
  }
}

/** The first row of a batch, as far as is enough to see a difference. */
export function sampleOf(batch: Batch): Batch {
  return Object.fromEntries(Object.entries(batch).map(([name, tensor]) => [name, crop(tensor, SAMPLE)]));
}

/** The whole model as one graph, traced without regard to targets. */
function traceWhole(model: Module, sample: Batch): GraphModule {
  return new GraphModule(model, new Tracer().trace(model, inputTypes(sample), populateConcreteArgs(model, sample)));
}

/** The subgraphs as one, which returns what the last of them returns. */
export function mergeSubgraphs(subgraphs: readonly Subgraph[]): Subgraph {
  const graph = new Graph();
  const values = new Map<string, Node>();
  for (const [index, subgraph] of subgraphs.entries()) {
    const copies = new Map<Node, Node>();
    const copyOf = (node: Node) => copies.get(node) as Node;
    for (const node of subgraph.graph.nodes) {
      if (node.op === "output") {
        const outputs = [...subgraph.graph.outputs].map(([name, output]) => [name, copyOf(output)] as const);
        for (const [name, output] of outputs) values.set(name, output);
        if (index === subgraphs.length - 1) graph.output(Object.fromEntries(outputs));
      } else if (node.op === "placeholder") {
        const value = values.get(node.name) ?? graph.placeholder(node.name, node.type);
        values.set(node.name, value);
        copies.set(node, value);
      } else copies.set(node, graph.copyNode(node, node.inputs.map(copyOf)));
    }
  }
  graph.lint();
  return new Subgraph(subgraphs[0].root, graph);
}

/** A few subgraphs from the first on: without the last of them where their weights together do not fit. */
function firstThatFit(subgraphs: readonly Subgraph[], memoryBudget: number): readonly Subgraph[] {
  let bytes = 0;
  const beyond = subgraphs.findIndex((subgraph, index) => {
    const types = parametersReadWhole(inlineCalls(subgraph).graph).map(({ tensorType }) => tensorType);
    bytes += types.reduce((sum, { shape }) => sum + 4 * elementCount(shape as number[]), 0);
    return index === MOST || (index >= FEWEST && bytes > memoryBudget);
  });
  return beyond < 0 ? subgraphs : subgraphs.slice(0, beyond);
}

function parameterBytes(model: Module): number {
  return model.namedParameters().reduce((sum, [, { shape }]) => sum + 4 * elementCount(shape), 0);
}

/** The first rows and columns of a matrix. */
function crop(tensor: Tensor, limits: readonly number[]): Tensor {
  const [rows, columns] = tensor.shape.map((size, axis) => Math.min(size, limits[axis]));
  const cropped = Tensor.zeros(tensor.dtype, [rows, columns]);
  for (let row = 0; row < rows; row++) {
    const start = row * tensor.shape[1];
    cropped.data.set(tensor.data.subarray(start, start + columns) as never, row * columns);
  }
  return cropped;
}

/** Throws what `failure` makes of the first value that is further off than rounding in another order explains. */
export function expectEqual(
  found: Readonly<Record<string, Value>>,
  expected: Readonly<Record<string, Value>>,
  failure: (name: string, difference: number, limit: number) => Error,
): void {
  for (const [name, value] of Object.entries(expected)) {
    for (const [index, tensor] of [value].flat().entries()) {
      const [difference, magnitude] = largestDifference([found[name]].flat()[index] as Tensor, tensor as Tensor);
      if (!(difference <= TOLERANCE * magnitude)) throw failure(name, difference, TOLERANCE * magnitude);
    }
  }
}

/** Largest |a − b| and largest finite |b|; elements that are the same are no difference, be they NaN or infinite. */
function largestDifference(a: Tensor, b: Tensor): [difference: number, magnitude: number] {
  let [difference, magnitude] = [0, 0];
  for (let i = 0; i < b.data.length; i++) {
    const [found, expected] = [Number(a.data[i]), Number(b.data[i])];
    if (Number.isFinite(expected)) magnitude = Math.max(magnitude, Math.abs(expected));
    if (!Object.is(found, expected)) difference = Math.max(difference, Math.abs(found - expected));
  }
  return [difference, magnitude];
}
