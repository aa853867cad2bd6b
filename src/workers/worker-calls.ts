import * as errors from "../errors.ts";
import { Tensor } from "../tensor/tensor.ts";

/** A tensor as it comes from another process: its fields alone. */
export type SentTensor = Pick<Tensor, "dtype" | "shape" | "data">;

/** A tap by names that mean the same in every process. */
export interface TapName {
  readonly path: string;
  readonly value?: number | "output";
  readonly reduction: string;
}

/** What was seen of one value; taps by their places among those that were asked for. */
export interface SentObserved {
  readonly taps: readonly number[];
  readonly value: SentTensor;
  readonly sequences: number;
}

/** What a worker process does when it is asked to, one call after another: the methods of an executor, on what can be sent. */
export interface WorkerCalls {
  /** @param setup - all that it needs to know of the run, and its share of the batches */
  start(setup: object): Promise<void>;
  restart(): Promise<void>;
  /** Lets a value stand for the parameter at a dotted path until the subgraph ends. */
  replace(path: string, value: SentTensor): Promise<void>;
  /** Begins to calibrate; all else happens when the first observation is asked for. */
  calibrate(subgraph: number, taps: readonly TapName[], consumed?: ReadonlySet<string>): Promise<void>;
  nextObserved(): Promise<SentObserved | undefined>;
  propagate(subgraph: number, consumed: ReadonlySet<string>): Promise<void>;
  /** @returns the replay's number, and that of its batches */
  record(subgraph: number, path: string): Promise<{ readonly replay: number; readonly batches: number }>;
  replayError(replay: number, changes: ReadonlyMap<string, SentTensor>, batch: number): Promise<number>;
  closeReplay(replay: number): Promise<void>;
  forget(names?: ReadonlySet<string>): Promise<void>;
  endSubgraph(): Promise<void>;
}

/** A call, as it is sent. */
export interface CallMessage {
  readonly call: keyof WorkerCalls;
  readonly args: readonly unknown[];
}

/** What comes back: any number of batches, then how the call ended. */
export type ReplyMessage =
  | { readonly type: "batch" }
  | { readonly type: "done"; readonly result: unknown }
  | { readonly type: "failed"; readonly error: SentError };

/** An error as it comes from another process. */
interface SentError {
  readonly name: string;
  readonly message: string;
  readonly stack?: string;
}

/** The tensor that was sent. */
export function receiveTensor({ dtype, shape, data }: SentTensor): Tensor {
  return new Tensor(dtype, shape, data);
}

/** What can be sent of anything that was thrown. */
export function sendError(thrown: unknown): SentError {
  if (!(thrown instanceof Error)) return { name: "Error", message: String(thrown) };
  const { name, message, stack } = thrown;
  return { name, message, stack };
}

/** An error of the class that was thrown, with the other process's stack. */
export function receiveError({ name, message, stack }: SentError): Error {
  const types: readonly (new (message: string) => Error)[] = [
    errors.CheckpointError,
    errors.CompressionError,
    errors.DataError,
    errors.ExecutionError,
    errors.RecipeError,
    errors.ShapeError,
    errors.TraceError,
  ];
  const Type = types.find((type) => type.name === name) ?? Error;
  return Object.assign(new Type(message), { stack });
}
