import type { Graph } from "../src/fx/graph.ts";
import type { Node } from "../src/fx/node.ts";
import type { Output, Traceable } from "../src/fx/traceable.ts";
import { Tracer } from "../src/fx/tracer.ts";
import type { ValueType } from "../src/fx/types.ts";

/** The graph of a function on traced values, down to operators: a test's smallest model. */
export function traceFunction(body: (...inputs: Node[]) => Output, inputs: Readonly<Record<string, ValueType>>): Graph {
  const root: Traceable = {
    runForward: (args) => body(...(args as Node[])),
    namedModules: () => [],
    namedParameters: () => [],
  };
  return new Tracer().trace(root, inputs);
}
