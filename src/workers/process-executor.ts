import type { ParameterChanges, Replay } from "../modifiers/modifier.ts";
import type { Tap } from "../modifiers/tap.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { DispatchedModel } from "../sequential/dispatch.ts";
import type { CalibrationExecutor, Observed, OnBatch } from "../sequential/executor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { receiveTensor, type TapName } from "./worker-calls.ts";
import type { WorkerProcess } from "./worker-process.ts";

/**
 * Runs subgraphs in another process, which reads the checkpoint's weights itself. Those that modifiers have put in place of them
 * are sent before a call that reads them.
 */
export class ProcessExecutor implements CalibrationExecutor {
  /** Values that the process has in place of the checkpoint's. */
  readonly #sent = new Map<Parameter, Tensor<"F32">>();
  readonly #modulePaths: ReadonlyMap<Module, string>;
  readonly #parameterPaths: ReadonlyMap<Parameter, string>;

  /** @param process - has been started with the model of `dispatched` */
  constructor(
    private readonly process: WorkerProcess,
    private readonly dispatched: Pick<DispatchedModel, "model" | "weights">,
  ) {
    const { model } = dispatched;
    this.#modulePaths = new Map(model.namedModules().map(([path, module]) => [module, path]));
    this.#parameterPaths = new Map(model.namedParameters().map(([path, parameter]) => [parameter, path]));
  }

  restart(): Promise<void> {
    return this.process.call("restart", []);
  }

  async *calibrate(
    subgraph: number,
    taps: readonly Tap[],
    onBatch: OnBatch,
    consumed?: ReadonlySet<string>,
  ): AsyncGenerator<Observed> {
    await this.#sendWeights();
    await this.process.call("calibrate", [subgraph, taps.map((tap) => this.#nameOf(tap)), consumed]);
    for (;;) {
      const seen = await this.process.call("nextObserved", [], onBatch);
      if (!seen) return;
      const value = receiveTensor(seen.value) as Tensor<"F32">;
      yield { taps: seen.taps.map((place) => taps[place]), statistic: { value, sequences: seen.sequences } };
    }
  }

  async propagate(subgraph: number, consumed: ReadonlySet<string>, onBatch: OnBatch): Promise<void> {
    await this.#sendWeights();
    await this.process.call("propagate", [subgraph, consumed], onBatch);
  }

  async record(subgraph: number, module: Module): Promise<Replay> {
    await this.#sendWeights();
    const path = this.#modulePaths.get(module) as string;
    const { replay, batches } = await this.process.call("record", [subgraph, path]);
    return {
      batches,
      error: (changes, batch) => this.#replayError(replay, changes, batch),
      close: () => this.process.call("closeReplay", [replay]),
    };
  }

  forget(names?: ReadonlySet<string>): Promise<void> {
    return this.process.call("forget", [names]);
  }

  async endSubgraph(): Promise<void> {
    this.#sent.clear();
    await this.process.call("endSubgraph", []);
  }

  close(): Promise<void> {
    return this.process.close();
  }

  async #replayError(replay: number, changes: ParameterChanges, batch: number): Promise<number> {
    await this.#sendWeights();
    const named = new Map([...changes].map(([parameter, value]) => [this.#pathOf(parameter), value]));
    return this.process.call("replayError", [replay, named, batch]);
  }

  /** One by one: a message with all of them would be as large as they are together. */
  async #sendWeights(): Promise<void> {
    for (const [parameter, value] of this.dispatched.weights.replacements) {
      if (this.#sent.get(parameter) === value) continue;
      await this.process.call("replace", [this.#pathOf(parameter), value]);
      this.#sent.set(parameter, value);
    }
  }

  #pathOf(parameter: Parameter): string {
    return this.#parameterPaths.get(parameter) as string;
  }

  #nameOf({ module, value, reduce }: Tap): TapName {
    return { path: this.#modulePaths.get(module) as string, value, reduction: reduce.name };
  }
}
