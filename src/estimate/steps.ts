import type { Graph } from "../fx/graph.ts";
import { inlineCalls } from "../fx/inline.ts";
import type { Modifier } from "../modifiers/modifier.ts";
import { Linear } from "../nn/linear.ts";
import type { Module } from "../nn/module.ts";
import { Buffer, type Parameter } from "../nn/parameter.ts";
import { parametersReadWhole } from "../runtime/row-lookups.ts";
import type { Batch } from "../sequential/intermediates.ts";
import type { Subgraph } from "../sequential/subgraph.ts";
import { elementCount } from "../tensor/tensor.ts";
import { type Calibration, type Moment, traceCalibration } from "./calibration.ts";
import { type GraphCost, graphCost } from "./graph-cost.ts";
import { IntermediateBytes } from "./intermediate-bytes.ts";
import { sizesOf } from "./sizes.ts";

/** What one subgraph takes: work of all batches together, bytes at one time. */
export interface Step {
  /** Of calibration and propagation; `peakBytes` is that of the largest run. */
  readonly runs: GraphCost;
  /** Times that a graph is run. */
  readonly runCount: number;
  /** Elements of the parameters that are read. */
  readonly parameters: number;
  /** Bytes of what the taps bring forward. */
  readonly totalBytes: number;
  /** What is factorised, and the weights that are rounded with it. */
  readonly moments: readonly { readonly columns: number; readonly rows: number }[];
  /** Elements of the weights that are rounded without one. */
  readonly rounded: number;
  /** The most bytes of values that later subgraphs read. */
  readonly intermediateBytes: number;
}

/** A run before it begins. */
interface PlannedRun {
  readonly subgraphs: readonly Subgraph[];
  readonly modifiers: readonly Modifier[];
  readonly batches: readonly Batch[];
}

/** Goes through a run subgraph by subgraph as the pipeline does, but without any weight, and counts. */
export function planSteps({ subgraphs, modifiers, batches }: PlannedRun): Step[] {
  const modules = subgraphs.map((subgraph) => subgraph.submodules().map(([, module]) => module));
  const lastCall = new Map(modules.flatMap((called, index) => called.map((module) => [module, index] as const)));
  const taps = modules.map((called) =>
    modifiers.map((modifier) => called.flatMap((module) => modifier.taps?.(module) ?? [])),
  );
  const lastObserved = taps.findLastIndex((ofModifiers) => ofModifiers.some((own) => own.length > 0));
  const intermediates = new IntermediateBytes(batches);
  const leavesOutputs = modifiers.every((modifier) => modifier.leavesOutputs);
  return subgraphs.map((subgraph, index) => {
    const isRead = index < lastObserved;
    const observed = taps[index].filter((own) => own.length > 0);
    const isPassedOn = isRead && leavesOutputs && observed.length === 1; // while it is observed
    const calibrations = observed.map((own) => traceCalibration(subgraph, own, isPassedOn));
    const propagated = isRead && !isPassedOn ? [inlineCalls(subgraph).graph] : [];
    const graphs = [...calibrations.map(({ graph }) => graph), ...propagated];
    const done = modules[index].filter((module) => lastCall.get(module) === index);
    const targets = done.filter((module): module is Linear => isTarget(module, modifiers));
    return {
      runs: sumCosts(graphs, batches),
      runCount: graphs.length * batches.length,
      parameters: elementsOf(readBy(graphs, targets, subgraph)),
      totalBytes: Math.max(0, ...calibrations.map(({ totalBytes }) => totalBytes)),
      ...roundingWork(calibrations, targets),
      intermediateBytes: intermediates.pass(subgraph, isRead),
    };
  });
}

/** What is compressed where the model is not run: one step for each module that has a weight to be rounded. */
export function planStepsWithoutData(model: Module, modifiers: readonly Modifier[]): Step[] {
  const targets = model.namedModules().flatMap(([, module]) => (isTarget(module, modifiers) ? [module as Linear] : []));
  return targets.map((target) => ({
    runs: { multiplyAdds: 0, bytesMoved: 0, peakBytes: 0 },
    runCount: 0,
    parameters: elementsOf([target.weight]),
    totalBytes: 0,
    ...roundingWork([], [target]),
    intermediateBytes: 0,
  }));
}

function isTarget(module: Module, modifiers: readonly Modifier[]): boolean {
  return module instanceof Linear && modifiers.some(({ quantization }) => quantization?.schemes.get(module)?.weights);
}

/** Parameters that the graphs read whole and the weights that are compressed, each once. */
function readBy(graphs: readonly Graph[], targets: readonly Linear[], { root }: Subgraph): Parameter[] {
  const byPath = new Map(root.namedParameters());
  const paths = graphs.flatMap((graph) => parametersReadWhole(graph).map(({ targetName }) => targetName));
  const read = [...paths.flatMap((path) => byPath.get(path) ?? []), ...targets.map(({ weight }) => weight)];
  return [...new Set(read)].filter((parameter) => !(parameter instanceof Buffer));
}

function elementsOf(parameters: readonly Parameter[]): number {
  return sumOf(parameters.map(({ shape }) => elementCount(shape)));
}

function roundingWork(
  calibrations: readonly Calibration[],
  targets: readonly Linear[],
): Pick<Step, "moments" | "rounded"> {
  const moments = calibrations.flatMap((calibration) => calibration.moments);
  const inMoments = new Set(moments.flatMap(({ linears }) => linears));
  const rounded = targets.filter((linear) => !inMoments.has(linear));
  return {
    moments: moments.map(({ columns, linears }: Moment) => ({
      columns,
      rows: sumOf(linears.map(({ outFeatures }) => outFeatures)),
    })),
    rounded: sumOf(rounded.map(({ inFeatures, outFeatures }) => inFeatures * outFeatures)),
  };
}

/** All batches through all graphs; batches of one shape are counted once. */
function sumCosts(graphs: readonly Graph[], batches: readonly Batch[]): GraphCost {
  const counts = new Map<string, { batch: Batch; count: number }>();
  for (const batch of batches) {
    const key = [...sizesOf(batch).values()].join();
    counts.set(key, { batch, count: (counts.get(key)?.count ?? 0) + 1 });
  }
  let [multiplyAdds, bytesMoved, peakBytes] = [0, 0, 0];
  for (const graph of graphs) {
    for (const { batch, count } of counts.values()) {
      const cost = graphCost(graph, sizesOf(batch));
      multiplyAdds += count * cost.multiplyAdds;
      bytesMoved += count * cost.bytesMoved;
      peakBytes = Math.max(peakBytes, cost.peakBytes);
    }
  }
  return { multiplyAdds, bytesMoved, peakBytes };
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
