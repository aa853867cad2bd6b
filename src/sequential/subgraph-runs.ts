import { CompressionError } from "../errors.ts";
import type { Replay } from "../modifiers/modifier.ts";
import type { Module } from "../nn/module.ts";
import type { Value } from "../runtime/executable.ts";
import type { DispatchedModel } from "./dispatch.ts";
import type { IntermediatesCache } from "./intermediates.ts";
import { type ReplayOptions, recordReplay } from "./replay.ts";
import type { Subgraph } from "./subgraph.ts";

/** Runs one subgraph for modifiers, with the weights as they are at the time. */
export class SubgraphRuns {
  /**
   * @param cache - what the subgraph reads in each calibration batch
   * @param samples - the same for one small sample, or for none
   */
  constructor(
    private readonly subgraph: Subgraph,
    private readonly dispatched: DispatchedModel,
    private readonly cache: IntermediatesCache,
    private readonly samples: IntermediatesCache,
    private readonly options: ReplayOptions = {},
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

  /** Records what a module below the subgraph is given in each calibration batch. */
  replay(module: Module): Promise<Replay> {
    return recordReplay(this.subgraph, module, this.dispatched, this.cache, this.options);
  }
}
