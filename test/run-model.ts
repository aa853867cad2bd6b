import { Tracer } from "../src/fx/tracer.ts";
import { i64 } from "../src/fx/types.ts";
import type { CausalLM } from "../src/models/causal-lm.ts";
import { Executable, type Value } from "../src/runtime/executable.ts";
import { populateConcreteArgs } from "../src/sequential/concrete-args.ts";
import { type DispatchedModel, dispatchForSequential } from "../src/sequential/dispatch.ts";
import type { PartitionOptions } from "../src/sequential/partition.ts";
import type { Subgraph } from "../src/sequential/subgraph.ts";
import { traceSubgraphs } from "../src/sequential/trace-subgraphs.ts";
import type { Tensor } from "../src/tensor/tensor.ts";

/** What a model is given: input_ids, and attention_mask where there is padding. */
export type Batch = Readonly<Record<string, Tensor>>;

/** Logits of the model traced and compiled as one graph. */
export async function runWhole(model: CausalLM, batch: Batch): Promise<Tensor> {
  const { runtime, weights } = await dispatchForSequential(model, { device: "cpu", threads: 1 });
  const types = Object.fromEntries(Object.keys(batch).map((name) => [name, i64("batch", "seq")]));
  const graph = new Tracer().trace(model, types, populateConcreteArgs(model, batch));
  const { logits } = await (await Executable.compile(graph, runtime)).run(batch, weights);
  return logits as Tensor;
}

/** Logits of the model run subgraph by subgraph. */
export async function runSequentially(model: CausalLM, batch: Batch, options: PartitionOptions = {}): Promise<Tensor> {
  const subgraphs = traceSubgraphs(model, batch, model.noSplitModules, [], options);
  return runSubgraphs(subgraphs, await dispatchForSequential(model, { device: "cpu", threads: 1 }), batch);
}

/**
 * Logits of subgraphs that run in order. What one returns, the later ones read; a value that is consumed is forgotten.
 *
 * @param intercept - may change what a subgraph returned
 */
export async function runSubgraphs(
  subgraphs: readonly Subgraph[],
  model: DispatchedModel,
  batch: Batch,
  intercept: (outputs: Record<string, Value>) => Record<string, Value> = (outputs) => outputs,
): Promise<Tensor> {
  const values = new Map<string, Value>(Object.entries(batch));
  for (const subgraph of subgraphs) {
    const inputs = Object.fromEntries([...subgraph.inputNames].map((name) => [name, values.get(name) as Value]));
    for (const [name, value] of Object.entries(intercept(await subgraph.forward(model, inputs))))
      values.set(name, value);
    for (const name of subgraph.consumedNames) values.delete(name);
  }
  return values.get("logits") as Tensor;
}
