import { CompressionError } from "../errors.ts";
import type { Graph } from "../fx/graph.ts";
import { Node } from "../fx/node.ts";
import type { Argument } from "../fx/traceable.ts";
import { Tracer } from "../fx/tracer.ts";
import type { ValueType } from "../fx/types.ts";
import type { ParameterChanges, Replay } from "../modifiers/modifier.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import { squaredError } from "../ops/squared-error.ts";
import { Executable, type ParameterValues, type Value } from "../runtime/executable.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { CompiledGraph } from "./compiled-graph.ts";
import type { DispatchedModel } from "./dispatch.ts";
import type { IntermediatesCache } from "./intermediates.ts";
import type { Subgraph } from "./subgraph.ts";
import type { Weights } from "./weights.ts";

/** One call of a module: a type for each argument that varies, the others as they are. */
type CallTypes = readonly (ValueType | Exclude<Argument, Node>)[];

/** What a module is given and gives in one batch. */
interface Call {
  readonly inputs: Readonly<Record<string, Value>>;
  readonly output: Tensor<"F32">;
}

/**
 * Runs a subgraph on all batches, as far as is needed, and keeps what a module below it is given, and gives.
 *
 * @throws CompressionError for a module that the subgraph does not call exactly once
 */
export async function recordReplay(
  subgraph: Subgraph,
  module: Module,
  dispatched: DispatchedModel,
  cache: IntermediatesCache,
  signal?: AbortSignal,
): Promise<Replay> {
  const calls: (readonly Argument[])[] = [];
  const hook = module.registerForwardPreHook((_, args) => {
    calls.push(args);
    return undefined;
  });
  const select = () => Object.fromEntries(nodesOf(oneCall(calls, module)).map(([name, node]) => [name, node]));
  const upTo = await CompiledGraph.compile(subgraph, dispatched, select).finally(hook.remove);
  const types = oneCall(calls, module).map((argument) => (argument instanceof Node ? argument.type : argument));
  const forward = await Executable.compile(new CallTracer().call(module, types), dispatched.runtime);
  const values = new OwnValues(module, dispatched.weights);
  const recorded: Call[] = [];
  for (let batch = 0; batch < cache.batchCount; batch++) {
    signal?.throwIfAborted();
    const inputs = await upTo.run(cache.fetch(batch, subgraph.inputNames), dispatched);
    const { output } = await forward.run(inputs, values);
    recorded.push({ inputs, output: output as Tensor<"F32"> });
  }
  const compare = await Executable.compile(new CallTracer().call(module, types, "expected"), dispatched.runtime);
  return {
    error(changes) {
      signal?.throwIfAborted();
      return meanError(compare, recorded, new OwnValues(module, dispatched.weights, changes));
    },
  };
}

async function meanError(compare: Executable, calls: readonly Call[], values: ParameterValues): Promise<number> {
  let [sum, count] = [0, 0];
  for (const { inputs, output } of calls) {
    if (output.data.length === 0) continue; // an expert that no token of the batch is routed to
    const { error } = await compare.run({ ...inputs, expected: output }, values);
    sum += Number((error as Tensor).data[0]);
    count += output.data.length;
  }
  return sum / count;
}

/** The parameters of a module by their paths below it, some of them changed. */
class OwnValues implements ParameterValues {
  readonly #parameters: ReadonlyMap<string, Parameter>;

  constructor(
    module: Module,
    private readonly weights: Weights,
    private readonly changes: ParameterChanges = new Map(),
  ) {
    this.#parameters = new Map(module.namedParameters());
  }

  async get(path: string): Promise<Tensor<"F32">> {
    const parameter = this.#parameters.get(path) as Parameter;
    return this.changes.get(parameter) ?? this.weights.load(parameter);
  }
}

/** Traces one call of a module by itself. */
class CallTracer extends Tracer {
  /** @param expected - name of a further input, from which the difference is returned as `error` in place of `output` */
  call(module: Module, types: CallTypes, expected?: string): Graph {
    const graph = this.begin(module);
    const args = types.map((type, index) =>
      isType(type) ? graph.placeholder(argumentName(index), type) : (type as Argument),
    );
    const output = module.runForward(args) as Node;
    if (expected === undefined) graph.output({ output });
    else graph.output({ error: squaredError(output, graph.placeholder(expected, output.type)) });
    return this.finish();
  }
}

function isType(type: CallTypes[number]): type is ValueType {
  return typeof type === "object" && type !== null && ("shape" in type || "elements" in type);
}

/** The arguments that vary, by the names that they are recorded under. */
function nodesOf(args: readonly Argument[]): [name: string, node: Node][] {
  return args.flatMap((argument, index): [string, Node][] =>
    argument instanceof Node ? [[argumentName(index), argument]] : [],
  );
}

function argumentName(index: number): string {
  return `argument_${index}`;
}

function oneCall(calls: readonly (readonly Argument[])[], module: Module): readonly Argument[] {
  if (calls.length === 1) return calls[0];
  throw new CompressionError(
    `a ${module.constructor.name} is called ${calls.length} times in a subgraph, expected once. Leave its mapping out.`,
  );
}
