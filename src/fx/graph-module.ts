import type { Graph } from "./graph.ts";
import { formatCode } from "./print.ts";
import type { Traceable } from "./traceable.ts";

/** A graph together with the module tree that its call_module and get_attr nodes name. */
export class GraphModule {
  constructor(
    readonly root: Traceable,
    readonly graph: Graph,
  ) {}

  /** The graph as the lines of a function. */
  get code(): readonly string[] {
    return formatCode(this.graph.nodes);
  }
}
