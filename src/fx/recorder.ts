import { TraceError } from "../errors.ts";
import { Graph } from "./graph.ts";
import { Node } from "./node.ts";
import type { Recorder } from "./traceable.ts";

/**
 * The recorder of the trace that `operands` belong to.
 *
 * @throws TraceError if none of them is a traced value, or if they belong to different traces
 */
export function recorderOf(caller: string, operands: readonly unknown[]): Recorder {
  const graphs = new Set(operands.filter((operand) => operand instanceof Node).map((node) => node.graph));
  const [graph] = graphs;
  if (graphs.size !== 1 || !(graph instanceof Graph) || !graph.recorder) {
    throw new TraceError(
      `${caller}: called with values of ${graphs.size} graphs being traced, expected 1. ` +
        "Call it inside a forward, with at least one value that the forward was given.",
    );
  }
  return graph.recorder;
}
