import type { Graph } from "../fx/graph.ts";
import { inlineCalls } from "../fx/inline.ts";
import { secondMoment, type Tap } from "../modifiers/tap.ts";
import { Linear } from "../nn/linear.ts";
import type { Subgraph } from "../sequential/subgraph.ts";
import { TapRecorder } from "../sequential/tap-recorder.ts";

/** A second moment of one input, and the weights that are rounded with it. */
export interface Moment {
  readonly columns: number;
  readonly linears: readonly Linear[];
}

/** What the taps of one modifier make of a subgraph. */
export interface Calibration {
  /** What is run for each batch. */
  readonly graph: Graph;
  /** Bytes of the totals that go from batch to batch. */
  readonly totalBytes: number;
  readonly moments: readonly Moment[];
}

/**
 * Traces what a modifier observes of a subgraph, as the pipeline does before it calibrates.
 *
 * @param passesOn - whether the same run is for what later subgraphs read too
 */
export function traceCalibration(subgraph: Subgraph, taps: readonly Tap[], passesOn: boolean): Calibration {
  const recorder = new TapRecorder(taps.map(withoutFinish));
  const hooks = recorder.attach();
  try {
    const { graph } = inlineCalls(subgraph, (outputs) => ({ ...(passesOn && outputs), ...recorder.outputs }));
    const totalBytes = Object.values(recorder.inputs).reduce((sum, { byteLength }) => sum + byteLength, 0);
    return { graph, totalBytes, moments: findMoments(recorder) };
  } finally {
    hooks.remove();
  }
}

/** Nothing was seen, so that there is nothing to make of it. */
function withoutFinish(tap: Tap): Tap {
  return { ...tap, reduce: { ...tap.reduce, finish: ([total]) => total } };
}

function findMoments(recorder: TapRecorder): Moment[] {
  return [...recorder.observed()].flatMap(({ taps }) => {
    const moments = taps.filter(({ reduce }) => reduce.name === secondMoment.name);
    const linears = moments.flatMap(({ module }) => (module instanceof Linear ? [module] : []));
    return linears.length > 0 ? [{ columns: linears[0].inFeatures, linears }] : [];
  });
}
