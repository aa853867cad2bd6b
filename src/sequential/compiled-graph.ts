import { ExecutionError } from "../errors.ts";
import type { GraphModule } from "../fx/graph-module.ts";
import { inlineCalls, type Origins, type SelectOutputs } from "../fx/inline.ts";
import type { Node } from "../fx/node.ts";
import { numberLines } from "../fx/print.ts";
import { type Allocate, Executable, NodeError, type Value } from "../runtime/executable.ts";
import type { DispatchedModel } from "./dispatch.ts";

/** A coarse graph whose calls were traced through, lowered and compiled; it fails with the coarse graph's code. */
export class CompiledGraph {
  private constructor(
    private readonly source: GraphModule,
    private readonly executable: Executable,
    private readonly origins: Origins,
  ) {}

  /** @param selectOutputs - what to return instead of the graph's own outputs: see inlineCalls */
  static async compile(
    source: GraphModule,
    { runtime }: DispatchedModel,
    selectOutputs?: SelectOutputs,
  ): Promise<CompiledGraph> {
    const { graph, origins } = inlineCalls(source, selectOutputs);
    return new CompiledGraph(source, await Executable.compile(graph, runtime), origins);
  }

  /** Paths of the parameters that a run reads. */
  get parameterPaths(): string[] {
    return this.executable.parameterPaths;
  }

  /** Runs once. A failure inside is an ExecutionError with the numbered code, the failing line marked. */
  async run(
    inputs: Readonly<Record<string, Value>>,
    { weights }: DispatchedModel,
    allocate?: Allocate,
  ): Promise<Record<string, Value>> {
    try {
      return await this.executable.run(inputs, weights, allocate);
    } catch (cause) {
      if (!(cause instanceof NodeError)) throw cause;
      throw this.#explain(cause);
    }
  }

  #explain(error: NodeError): ExecutionError {
    const failed = error.node && this.origins.get(error.node);
    const where = error.node?.modulePath || failed?.targetName || "subgraph";
    const code = numberLines(this.source.code, failed ? this.#lineOf(failed) : -1);
    return new ExecutionError(`${where}: failed while running this code:\n${code}\n${error.message}`, {
      cause: error.cause,
    });
  }

  /** The first line is the signature; placeholders have none of their own. */
  #lineOf(node: Node): number {
    return 1 + this.source.graph.nodes.filter(({ op }) => op !== "placeholder").indexOf(node);
  }
}
