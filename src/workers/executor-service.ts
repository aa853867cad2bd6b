import { ExecutionError } from "../errors.ts";
import type { Modifier, Replay } from "../modifiers/modifier.ts";
import type { Tap } from "../modifiers/tap.ts";
import type { Module } from "../nn/module.ts";
import type { Parameter } from "../nn/parameter.ts";
import type { DispatchedModel } from "../sequential/dispatch.ts";
import type { CalibrationExecutor, Observed, OnBatch } from "../sequential/executor.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { receiveTensor, type SentObserved, type SentTensor, type TapName, type WorkerCalls } from "./worker-calls.ts";

/** What a worker process works with, once it is started. */
export interface Served {
  readonly executor: CalibrationExecutor;
  readonly dispatched: Pick<DispatchedModel, "model" | "weights">;
  /** The run's modifiers, whose taps are asked for by name. */
  readonly modifiers: readonly Modifier[];
}

/** Answers calls with an executor of this process. */
export class ExecutorService implements WorkerCalls {
  #served?: Served;
  #modules: ReadonlyMap<string, Module> = new Map();
  #parameters: ReadonlyMap<string, Parameter> = new Map();
  readonly #replays: Replay[] = [];
  #taps: readonly Tap[] = [];
  #observed?: AsyncIterator<Observed>;
  /** A statistic that has been sent, of which the memory is free. */
  #told?: Tensor;

  /** @param build - makes of a setup what the calls are answered with */
  constructor(
    private readonly build: (setup: object) => Promise<Served>,
    private readonly onBatch: OnBatch,
  ) {}

  async start(setup: object): Promise<void> {
    this.#served = await this.build(setup);
    const { model } = this.#served.dispatched;
    this.#modules = new Map(model.namedModules());
    this.#parameters = new Map(model.namedParameters());
  }

  restart(): Promise<void> {
    return this.#running.executor.restart();
  }

  async replace(path: string, value: SentTensor): Promise<void> {
    this.#running.dispatched.weights.replace(this.#parameterAt(path), receiveTensor(value) as Tensor<"F32">);
  }

  async calibrate(subgraph: number, names: readonly TapName[], consumed?: ReadonlySet<string>): Promise<void> {
    this.#taps = names.map((name) => this.#tapNamed(name));
    const observed = this.#running.executor.calibrate(subgraph, this.#taps, this.onBatch, consumed);
    this.#observed = observed[Symbol.asyncIterator]();
  }

  async nextObserved(): Promise<SentObserved | undefined> {
    if (this.#told) this.#running.dispatched.weights.buffers.give(this.#told);
    this.#told = undefined;
    const next = await this.#observed?.next();
    if (!next || next.done) return undefined;
    const { taps, statistic } = next.value;
    this.#told = statistic.value;
    return { taps: taps.map((tap) => this.#taps.indexOf(tap)), ...statistic };
  }

  propagate(subgraph: number, consumed: ReadonlySet<string>): Promise<void> {
    return this.#running.executor.propagate(subgraph, consumed, this.onBatch);
  }

  async record(subgraph: number, path: string): Promise<{ replay: number; batches: number }> {
    const replay = await this.#running.executor.record(subgraph, this.#moduleAt(path));
    return { replay: this.#replays.push(replay) - 1, batches: replay.batches };
  }

  replayError(replay: number, changes: ReadonlyMap<string, SentTensor>, batch: number): Promise<number> {
    const received = Array.from(
      changes,
      ([path, value]) => [this.#parameterAt(path), receiveTensor(value) as Tensor<"F32">] as const,
    );
    return this.#replays[replay].error(new Map(received), batch);
  }

  closeReplay(replay: number): Promise<void> {
    return this.#replays[replay].close();
  }

  forget(names?: ReadonlySet<string>): Promise<void> {
    return this.#running.executor.forget(names);
  }

  async endSubgraph(): Promise<void> {
    const { executor, dispatched } = this.#running;
    this.#replays.length = 0;
    await dispatched.weights.releaseAll();
    await executor.endSubgraph();
  }

  get #running(): Served {
    if (this.#served) return this.#served;
    throw new ExecutionError("worker process: called before it was started, expected a start.");
  }

  #moduleAt(path: string): Module {
    return this.#modules.get(path) ?? unknown("module", path);
  }

  #parameterAt(path: string): Parameter {
    return this.#parameters.get(path) ?? unknown("parameter", path);
  }

  /** Reductions of one name are the same, whichever modifier asks for them. */
  #tapNamed({ path, value, reduction }: TapName): Tap {
    const module = this.#moduleAt(path);
    const modifiers = this.#running.modifiers.flatMap((modifier) => [modifier, modifier.survey ?? []].flat());
    const taps = modifiers.flatMap((modifier) => modifier.taps?.(module) ?? []);
    const found = taps.find((tap) => tap.value === value && tap.reduce.name === reduction);
    return found ?? unknown(`tap ${reduction} of module`, path);
  }
}

function unknown(what: string, path: string): never {
  throw new ExecutionError(`worker process: no ${what} ${path}, expected the model of the process that asks.`);
}
