import type { Module } from "../nn/module.ts";
import type { Profiler } from "../profile/profiler.ts";
import { Runtime } from "../runtime/runtime.ts";
import type { Device } from "../runtime/session.ts";
import { Weights } from "./weights.ts";

/** A model ready to run subgraph by subgraph: where it runs, and which of its weights are in memory. */
export interface DispatchedModel<Model extends Module = Module> {
  readonly model: Model;
  /** Compiles graphs, on the device that was chosen. */
  readonly runtime: Runtime;
  /** Loads parameters as graphs ask for them, and forgets them. */
  readonly weights: Weights;
}

/** Where and with how many threads a model runs. */
export interface DispatchOptions {
  /** "auto" takes an accelerator where there is one. "cpu"; of {@link dispatchForSequential} itself, "auto". */
  readonly device?: Device;
  /** Threads for one operator; by default one for each core. */
  readonly threads?: number;
  /** Is told of what the runtime does. */
  readonly profiler?: Profiler;
  /** Is told where the device is not what was asked for. */
  readonly onWarning?: (message: string) => void;
}

/**
 * Prepares a model for running one subgraph at a time: takes off its hooks, leaves the weights on disk, chooses the device.
 * Follows `dispatch_for_sequential`.
 */
export async function dispatchForSequential<Model extends Module>(
  model: Model,
  { device = "auto", threads, profiler, onWarning }: DispatchOptions = {},
): Promise<DispatchedModel<Model>> {
  for (const [, module] of model.namedModules()) module.removeHooks();
  const runtime = await Runtime.create({ device, threads, profiler });
  if (device === "auto" && runtime.device === "cpu")
    onWarning?.("no accelerator is available: computing on the CPU instead.");
  return { model, runtime, weights: new Weights(model) };
}
