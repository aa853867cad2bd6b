import { TraceError } from "../errors.ts";
import type { Dim, TensorType } from "../fx/types.ts";
import { matchModules } from "../nn/match.ts";
import type { Module } from "../nn/module.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { populateConcreteArgs } from "./concrete-args.ts";
import { traceConsumedNames } from "./consumed-names.ts";
import { type PartitionOptions, topologicalPartition } from "./partition.ts";
import { partitionGraph } from "./partition-graph.ts";
import type { Subgraph } from "./subgraph.ts";
import { findCalls, findTargetNodes, getSequentialAncestors } from "./targets.ts";
import { SequentialTracer } from "./tracer.ts";

/** Names of the dimensions of a model's inputs that vary from batch to batch. */
const VARYING: readonly Dim[] = ["batch", "seq"];

/** The first batch, or anything with its keys and ranks; the values do not matter. */
export type SampleInput = Readonly<Record<string, Pick<Tensor, "dtype" | "shape">>>;

/** How a model is cut. */
export interface CutOptions extends PartitionOptions {
  /** Modules that must come to lie in one subgraph, such as those that a modifier changes together. */
  readonly together?: readonly (readonly Module[])[];
}

/**
 * Traces a model into subgraphs, each sequential target in exactly one; running them in order equals the model.
 * Follows `trace_subgraphs`.
 *
 * @param sequentialTargets - patterns as matchModules takes them
 * @param ignore - names of functions that become one opaque node
 * @throws RecipeError for a pattern that matches nothing
 * @throws TraceError for a target that the model never calls, or calls only inside a function that is ignored
 * @example
 * const subgraphs = traceSubgraphs(model, batch, ["LlamaDecoderLayer"], []);
 */
export function traceSubgraphs(
  model: Module,
  sampleInput: SampleInput,
  sequentialTargets: readonly string[],
  ignore: readonly string[] = [],
  { together = [], ...options }: CutOptions = {},
): Subgraph[] {
  const targets = matchModules(model, sequentialTargets);
  const tracer = new SequentialTracer(getSequentialAncestors(model, targets), new Set(), { ignore });
  const graph = tracer.trace(model, inputTypes(sampleInput), populateConcreteArgs(model, sampleInput));
  const calls = findTargetNodes(model, graph, targets);
  checkCoverage(model, targets, new Set([...calls].map(({ targetName }) => targetName)));
  const kept = together.map((modules) => findCalls(model, graph, new Set(modules)));
  const subgraphs = partitionGraph(model, topologicalPartition(graph, calls, options, kept));
  traceConsumedNames(subgraphs);
  return subgraphs;
}

/** Types of a model's inputs: the sample's, but of any number of rows and tokens. */
export function inputTypes(sample: SampleInput): Record<string, TensorType> {
  return Object.fromEntries(
    Object.entries(sample).map(([name, { dtype, shape }]) => [
      name,
      { dtype, shape: shape.map((size, axis) => VARYING[axis] ?? size) },
    ]),
  );
}

/** Every target that is not inside another must have been called; the root itself is never called. */
function checkCoverage(model: Module, targets: ReadonlySet<Module>, called: ReadonlySet<string>): void {
  const nested = new Set(
    [...targets].flatMap((target) =>
      target
        .namedModules()
        .slice(1)
        .map(([, module]) => module),
    ),
  );
  const missed = model
    .namedModules()
    .filter(([path, module]) => path !== "" && targets.has(module) && !nested.has(module) && !called.has(path));
  if (missed.length > 0) {
    const paths = missed.map(([path]) => path).join(", ");
    throw new TraceError(
      `${paths}: never called in the trace, expected every sequential target to be. Change sequentialTargets or ignore.`,
    );
  }
}
