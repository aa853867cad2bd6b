import { type Graph, getitem } from "../../fx/graph.ts";
import { inlineCalls } from "../../fx/inline.ts";
import type { Node } from "../../fx/node.ts";
import type { Operand } from "../../fx/traceable.ts";
import { isTuple } from "../../fx/types.ts";
import type { CausalLM } from "../../models/causal-lm.ts";
import { int64, scalar } from "../../ops/constants.ts";
import { onnx } from "../../ops/onnx.ts";
import { defineOp } from "../../ops/operator.ts";
import { Executable, type Value } from "../../runtime/executable.ts";
import { dispatchForSequential } from "../../sequential/dispatch.ts";
import type { RunControl } from "../../sequential/events.ts";
import { type Batch, IntermediatesCache } from "../../sequential/intermediates.ts";
import type { Subgraph } from "../../sequential/subgraph.ts";
import { traceSubgraphs } from "../../sequential/trace-subgraphs.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { cachedAttention, lastTokens } from "./cached-attention.ts";
import type { MagnitudeOf } from "./precision.ts";

/**
 * The largest magnitude of every value that a model computes on some batches, for the nodes of its decoder. Weights stream, one
 * subgraph at a time.
 */
export async function measureMagnitudes(
  model: CausalLM,
  decoder: Graph,
  batches: readonly Batch[],
  control: RunControl,
): Promise<MagnitudeOf> {
  const places = new Places();
  const found = new Map<string, number>();
  for await (const [graph, magnitudes] of runMeasured(model, batches, control)) {
    const keys = places.keysOf(graph);
    for (const node of graph.nodes) {
      const [magnitude, key] = [magnitudes.get(node.name), keys.get(node)];
      if (magnitude !== undefined && key) found.set(key, Math.max(found.get(key) ?? 0, magnitude));
    }
  }
  const keys = new Places().keysOf(decoder);
  const magnitudeOf: MagnitudeOf = (node) =>
    node.target === lastTokens.operator ? magnitudeOf(node.inputs[0]) : found.get(keys.get(node) ?? "");
  return magnitudeOf;
}

/** Runs all batches; gives each subgraph's graph with the magnitudes of its nodes, by name. */
async function* runMeasured(
  model: CausalLM,
  batches: readonly Batch[],
  { onProgress, signal }: RunControl,
): AsyncGenerator<[Graph, Map<string, number>]> {
  const { runtime, weights } = await dispatchForSequential(model, { device: "cpu" });
  const subgraphs = traceSubgraphs(model, batches[0], model.noSplitModules);
  const cache = new IntermediatesCache(batches);
  try {
    for (const [index, subgraph] of subgraphs.entries()) {
      onProgress?.({ type: "phase", phase: "calibrating", subgraph: index, subgraphs: subgraphs.length });
      const { graph } = inlineCalls(subgraph, withMagnitudes);
      const executable = await Executable.compile(graph, runtime);
      const magnitudes = new Map<string, number>();
      for (const batch of batches.keys()) {
        signal?.throwIfAborted();
        const results = await executable.run(await cache.fetch(batch, subgraph.inputNames), weights);
        await handOn(cache, batch, subgraph, results);
        keepLargest(magnitudes, results);
        onProgress?.({ type: "batch", batch, batches: batches.length });
      }
      await weights.releaseAll();
      yield [graph, magnitudes];
    }
  } finally {
    await cache.close();
  }
}

async function handOn(cache: IntermediatesCache, batch: number, subgraph: Subgraph, results: Record<string, Value>) {
  cache.delete(batch, subgraph.consumedNames);
  const own = [...subgraph.outputNames]
    .filter((name) => name !== "logits")
    .map((name) => [name, results[name]] as const);
  await cache.update(batch, Object.fromEntries(own));
}

const PREFIX = "magnitude of ";

function keepLargest(magnitudes: Map<string, number>, results: Readonly<Record<string, Value>>): void {
  for (const [name, value] of Object.entries(results)) {
    if (!name.startsWith(PREFIX)) continue;
    const node = name.slice(PREFIX.length);
    const [magnitude] = (value as Tensor<"F32">).data;
    magnitudes.set(node, Math.max(magnitudes.get(node) ?? 0, magnitude));
  }
}

/** A graph's outputs, and the largest magnitude of every float that leads to them. */
function withMagnitudes(outputs: Readonly<Record<string, Node>>): Record<string, Node> {
  const reached = new Set<Node>();
  const visit = (node: Node): void => {
    if (reached.has(node)) return;
    reached.add(node);
    node.inputs.forEach(visit);
  };
  Object.values(outputs).forEach(visit);
  const measured = [...reached].filter(isMeasured).map((node) => [`${PREFIX}${node.name}`, largestMagnitude(node)]);
  return { ...outputs, ...Object.fromEntries(measured) };
}

function isMeasured({ op, target, type }: Node): boolean {
  return op === "call_function" && target !== getitem && !isTuple(type) && type.dtype === "F32";
}

/** max |x| over all elements, 0 where there are none: F32[]. */
const largestMagnitude = defineOp<[x: Operand]>({
  name: "largest_magnitude",
  infer: () => ({ dtype: "F32", shape: [] }),
  lower([x]) {
    const flat = onnx("Reshape", [onnx("Abs", [x]), int64(-1)]);
    const zero = onnx("Reshape", [scalar("F32", 0), int64(1)]);
    return onnx("ReduceMax", [onnx("Concat", [flat, zero], { axis: 0 })], { keepdims: 0 });
  },
});

/** Tells nodes of different traces of one model apart, by the module that made them and their turn among its calls. */
class Places {
  readonly #counts = new Map<string, number>();

  keysOf(graph: Graph): Map<Node, string> {
    const keys = new Map<Node, string>();
    for (const node of graph.nodes) {
      if (node.op !== "call_function" || node.target === getitem || node.target === largestMagnitude.operator) continue;
      const place = `${node.modulePath}.${nameOf(node)}`;
      const count = this.#counts.get(place) ?? 0;
      this.#counts.set(place, count + 1);
      keys.set(node, `${place}.${count}`);
    }
    return keys;
  }
}

/** An attention is the same one, whatever it is given as a mask or a cache. */
function nameOf({ target, targetName }: Node): string {
  return target === cachedAttention.operator
    ? "causal_attention"
    : targetName.replace(/^attention$/, "causal_attention");
}
