import type { Graph } from "../fx/graph.ts";
import { GraphModule } from "../fx/graph-module.ts";
import type { Module } from "../nn/module.ts";
import type { Allocate, Value } from "../runtime/executable.ts";
import { CompiledGraph } from "./compiled-graph.ts";
import type { DispatchedModel } from "./dispatch.ts";

/** One part of a partitioned model: a closed graph that reads intermediates by name and returns others. */
export class Subgraph extends GraphModule {
  /** Inputs that no later subgraph reads; empty until traceConsumedNames has run. */
  consumedNames: ReadonlySet<string> = new Set();
  #compiled?: Promise<CompiledGraph>;

  constructor(
    override readonly root: Module,
    graph: Graph,
  ) {
    super(root, graph);
  }

  /** Names of the intermediates that it reads. */
  get inputNames(): ReadonlySet<string> {
    return new Set(this.graph.placeholders.map(({ name }) => name));
  }

  /** Names of what it returns. */
  get outputNames(): ReadonlySet<string> {
    return new Set(this.graph.outputs.keys());
  }

  /** Paths of the modules that it calls, in order. */
  get calledModules(): string[] {
    return this.graph.nodes.filter(({ op }) => op === "call_module").map(({ targetName }) => targetName);
  }

  /** Modules that it calls and all below them, by path, each once. Follows `Subgraph.submodules`. */
  submodules(): [string, Module][] {
    const called = this.calledModules;
    const isBelow = (path: string, root: string) => path === root || path.startsWith(`${root}.`);
    return this.root.namedModules().filter(([path]) => called.some((root) => isBelow(path, root)));
  }

  /**
   * Runs the subgraph, compiling it on the first call.
   *
   * @param model - the dispatched model that it was traced from
   * @param inputs - a value for each input name
   * @param allocate - gives the tensor that an output is written into; a new one where it gives none
   * @returns a value for each output name
   * @throws ExecutionError with the numbered code, the failing line marked and the cause kept
   */
  async forward(
    model: DispatchedModel,
    inputs: Readonly<Record<string, Value>>,
    allocate?: Allocate,
  ): Promise<Record<string, Value>> {
    this.#compiled ??= CompiledGraph.compile(this, model);
    return (await this.#compiled).run(inputs, model, allocate);
  }
}
