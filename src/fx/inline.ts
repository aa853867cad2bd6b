import { TraceError } from "../errors.ts";
import { isComposite } from "./function.ts";
import { type Graph, getitem } from "./graph.ts";
import type { GraphModule } from "./graph-module.ts";
import { Node } from "./node.ts";
import { Tracer } from "./tracer.ts";

/** A node of the graph that was inlined, for each node made from it: what an error message points at. */
export type Origins = ReadonlyMap<Node, Node>;

/** Chooses what an inlined graph returns, given the values that the coarse graph returns, once all calls were entered. */
export type SelectOutputs = (outputs: Readonly<Record<string, Node>>) => Readonly<Record<string, Node>>;

/**
 * Traces through the calls of a coarse graph, so that only operators and opaque functions are left, and of these only
 * what the outputs need. Hooks of the modules run and may record nodes of their own.
 */
export function inlineCalls(
  module: GraphModule,
  selectOutputs: SelectOutputs = (outputs) => outputs,
): { graph: Graph; origins: Origins } {
  return new InliningTracer().inline(module, selectOutputs);
}

/** Replays a graph node by node: calls of modules and composite functions are entered, all else is copied. */
class InliningTracer extends Tracer {
  inline({ root, graph: source }: GraphModule, selectOutputs: SelectOutputs): { graph: Graph; origins: Origins } {
    const graph = this.begin(root);
    const values = new Map<Node, Node>();
    const origins = new Map<Node, Node>();
    // Inputs first: what the calls record must not take their names.
    const steps = source.nodes.filter((node) => node.op !== "placeholder");
    for (const node of [...source.placeholders, ...steps]) {
      if (node.op === "output") {
        const names = node.attrs.names as readonly string[];
        const outputs = node.inputs.map((input, index) => [names[index], values.get(input) as Node] as const);
        graph.output(selectOutputs(Object.fromEntries(outputs)));
        continue;
      }
      const inputs = node.inputs.map((input) => values.get(input) as Node);
      const first = graph.nodes.length;
      values.set(node, this.#replay(node, inputs, graph));
      for (const made of graph.nodes.slice(first)) origins.set(made, node);
    }
    return { graph: this.finish(), origins };
  }

  #replay(node: Node, inputs: Node[], graph: Graph): Node {
    if (node.op === "call_module") return this.#enter(node, inputs);
    if (isComposite(node.target)) return this.callFunction(node.target, inputs, node.attrs);
    if (node.target === getitem) return graph.getItem(inputs[0], node.attrs.index as number);
    return graph.copyNode(node, inputs);
  }

  #enter(node: Node, inputs: Node[]): Node {
    const module = this.moduleAt(node.targetName);
    const args: (Node | null)[] = [...inputs];
    for (const index of (node.attrs.absent ?? []) as number[]) args.splice(index, 0, null);
    const result = module && this.callModule(module, args);
    if (!(result instanceof Node)) {
      throw new TraceError(
        `%${node.name}: calls ${node.targetName}, expected a module of the tree that returns one value.`,
      );
    }
    return result;
  }
}
