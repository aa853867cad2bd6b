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
import { IntermediatesCache, type IntermediatesOptions } from "./intermediates.ts";
import type { Subgraph } from "./subgraph.ts";
import { pickRows, type Weights } from "./weights.ts";

/** Name under which the recorded output is given to be compared with. */
const EXPECTED = "expected";

/** One call of a module: a type for each argument that varies, the others as they are. */
type CallTypes = readonly (ValueType | Exclude<Argument, Node>)[];

/** How much memory a recording may take, and who stops it. */
interface ReplayOptions extends IntermediatesOptions {
  readonly signal?: AbortSignal;
}

/**
 * Runs a subgraph on all batches, as far as is needed, and keeps what a module below it is given, and gives.
 *
 * @throws CompressionError for a module that the subgraph does not call exactly once
 */
export async function recordCalls(
  subgraph: Subgraph,
  module: Module,
  dispatched: DispatchedModel,
  cache: IntermediatesCache,
  options: ReplayOptions,
): Promise<Replay> {
  const calls: (readonly Argument[])[] = [];
  const hook = module.registerForwardPreHook((_, args) => {
    calls.push(args);
    return undefined;
  });
  const select = () => Object.fromEntries(argumentsOf(oneCall(calls, module)).computed);
  const compiling = CompiledGraph.compile(subgraph, dispatched, select);
  hook.remove(); // it is traced by now: others may trace while it is compiled
  const upTo = await compiling;
  const recording = new RecordedCalls(subgraph, module, oneCall(calls, module), dispatched, cache, options);
  await recording.record(upTo);
  return recording;
}

/** Keeps what is computed for the module; what it reads of the subgraph's inputs, it has from where these are kept. */
class RecordedCalls implements Replay {
  readonly #own: IntermediatesCache;
  readonly #arguments: CallArguments;
  readonly #types: CallTypes;
  #compared?: Promise<Executable>;

  constructor(
    private readonly subgraph: Subgraph,
    private readonly module: Module,
    args: readonly Argument[],
    private readonly dispatched: DispatchedModel,
    private readonly cache: IntermediatesCache,
    private readonly options: ReplayOptions,
  ) {
    const batches = Array.from({ length: cache.batchCount }, () => ({}));
    this.#own = new IntermediatesCache(batches, options);
    this.#arguments = argumentsOf(args);
    this.#types = args.map((argument) => (argument instanceof Node ? argument.type : argument));
  }

  async record(upTo: CompiledGraph): Promise<void> {
    const forward = await Executable.compile(new CallTracer().call(this.module, this.#types), this.dispatched.runtime);
    const values = new OwnValues(this.module, this.dispatched.weights);
    for (let batch = 0; batch < this.cache.batchCount; batch++) {
      this.options.signal?.throwIfAborted();
      const given = await this.cache.fetch(batch, this.subgraph.inputNames);
      const computed = this.#arguments.computed.size > 0 ? await upTo.run(given, this.dispatched) : {};
      const { output } = await forward.run({ ...computed, ...this.#direct(given) }, values);
      await this.#own.update(batch, { ...computed, [EXPECTED]: output });
    }
  }

  get batches(): number {
    return this.cache.batchCount;
  }

  async error(changes: ParameterChanges, batch: number): Promise<number> {
    this.#compared ??= Executable.compile(
      new CallTracer().call(this.module, this.#types, EXPECTED),
      this.dispatched.runtime,
    );
    this.options.signal?.throwIfAborted();
    const values = new OwnValues(this.module, this.dispatched.weights, changes);
    const given = await this.cache.fetch(batch, this.#arguments.direct.values());
    const own = await this.#own.fetch(batch, [...this.#arguments.computed.keys(), EXPECTED]);
    if ((own[EXPECTED] as Tensor).data.length === 0) return 0; // an expert that no token of the batch is routed to
    const { error } = await (await this.#compared).run({ ...own, ...this.#direct(given) }, values);
    return Number((error as Tensor).data[0]);
  }

  close(): Promise<void> {
    return this.#own.close();
  }

  /** Arguments that are inputs of the subgraph. */
  #direct(given: Readonly<Record<string, Value>>): Record<string, Value> {
    return Object.fromEntries([...this.#arguments.direct].map(([argument, input]) => [argument, given[input]]));
  }
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

  async rows(path: string, ids: Tensor<"I64">): Promise<Tensor<"F32">> {
    return pickRows(await this.get(path), ids, Number);
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

/** The arguments of a call that vary, by name. */
interface CallArguments {
  /** What the subgraph computes. */
  readonly computed: ReadonlyMap<string, Node>;
  /** The names of those that it is given. */
  readonly direct: ReadonlyMap<string, string>;
}

function argumentsOf(args: readonly Argument[]): CallArguments {
  const [computed, direct] = [new Map<string, Node>(), new Map<string, string>()];
  for (const [index, argument] of args.entries()) {
    if (!(argument instanceof Node)) continue;
    if (argument.op === "placeholder") direct.set(argumentName(index), argument.name);
    else computed.set(argumentName(index), argument);
  }
  return { computed, direct };
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
