import { CompressionError } from "../errors.ts";
import type { Replay } from "../modifiers/modifier.ts";
import type { Module } from "../nn/module.ts";
import type { Value } from "../runtime/executable.ts";
import type { DispatchedModel } from "./dispatch.ts";
import type { IntermediatesCache } from "./intermediates.ts";
import type { Subgraph } from "./subgraph.ts";

/** Runs one subgraph for modifiers, with the weights as they are at the time. */
export class SubgraphRuns {
  /**
   * @param samples - what the subgraph reads for one small sample, or for none
   * @param record - records a module below the subgraph over all batches
   */
  constructor(
    private readonly subgraph: Subgraph,
    private readonly dispatched: DispatchedModel,
    private readonly samples: IntermediatesCache,
    private readonly record: (module: Module) => Promise<Replay>,
  ) {}

  /** What the subgraph returns for the sample. */
  async sample(): Promise<Record<string, Value>> {
    if (this.samples.batchCount === 0)
      throw new CompressionError("no sample to check changes on, expected a modifier with coupled modules. Name them.");
    return this.subgraph.forward(this.dispatched, await this.samples.fetch(0, this.subgraph.inputNames));
  }

  /** Lets the sample go on to the subgraphs to come. */
  async propagateSample(): Promise<void> {
    if (this.samples.batchCount === 0) return;
    const outputs = await this.sample();
    this.samples.delete(0, this.subgraph.consumedNames);
    await this.samples.update(0, outputs);
  }

  /** Keeps what a module below the subgraph is given in each calibration batch, to run it again. */
  replay(module: Module): Promise<Replay> {
    return this.record(module);
  }
}
