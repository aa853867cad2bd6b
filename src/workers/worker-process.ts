import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { ExecutionError } from "../errors.ts";
import type { OnBatch } from "../sequential/executor.ts";
import { type CallMessage, type ReplyMessage, receiveError, type WorkerCalls } from "./worker-calls.ts";

/** A call that has been sent and not answered. */
interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (reason: unknown) => void;
  readonly onBatch?: OnBatch;
}

/** A process that answers {@link WorkerCalls}. It ends when this process does, however that ends. */
export class WorkerProcess {
  #pending?: Pending;
  /** Why no call is answered any more. */
  #failure?: { readonly reason: unknown };

  private constructor(
    private readonly child: ChildProcess,
    private readonly signal?: AbortSignal,
  ) {
    child.on("message", (reply: ReplyMessage) => this.#receive(reply));
    child.on("error", (cause) => this.#fail(startFailure(cause)));
    child.on("exit", (code, ended) => this.#fail(deathOf(child, ended ?? `code ${code}`)));
    signal?.addEventListener("abort", this.#abort);
  }

  /**
   * Starts a process.
   *
   * @param entry - the program, which serves the calls
   * @param signal - once it is aborted, calls fail with its reason
   */
  static start(entry: string, signal?: AbortSignal): WorkerProcess {
    const execArgv = ["--no-incremental-marking"]; // see the command line: it takes a third of the time
    const child = fork(entry, { serialization: "advanced", execArgv, stdio: ["ignore", "ignore", "inherit", "ipc"] });
    return new WorkerProcess(child, signal);
  }

  /**
   * Makes one call; the one before must have been answered.
   *
   * @throws what the call throws there, of the same class
   * @throws ExecutionError if the process has ended
   */
  call<Name extends keyof WorkerCalls>(
    call: Name,
    args: Parameters<WorkerCalls[Name]>,
    onBatch?: OnBatch,
  ): ReturnType<WorkerCalls[Name]> {
    return new Promise<unknown>((resolve, reject) => {
      this.signal?.throwIfAborted();
      if (this.#failure) throw this.#failure.reason;
      this.#pending = { resolve, reject, onBatch };
      const message: CallMessage = { call, args };
      this.child.send(message, () => undefined); // where it cannot be sent, the process has ended: that is told by its exit
    }) as ReturnType<WorkerCalls[Name]>;
  }

  /** Ends the process at once: it has nothing to finish or to clean up. */
  async close(): Promise<void> {
    this.signal?.removeEventListener("abort", this.#abort);
    const { pid, exitCode, signalCode } = this.child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    const exit = once(this.child, "exit");
    this.child.kill("SIGKILL");
    await exit;
  }

  #receive(reply: ReplyMessage): void {
    if (reply.type === "batch") this.#pending?.onBatch?.();
    else if (reply.type === "done") this.#pending?.resolve(reply.result);
    else this.#pending?.reject(receiveError(reply.error));
  }

  #fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.#pending?.reject(this.#failure.reason);
  }

  readonly #abort = (): void => this.#fail(this.signal?.reason);
}

function startFailure(cause: Error): ExecutionError {
  return new ExecutionError(
    `workers: a process cannot be started (${cause.message}), expected room for one more. Use fewer workers.`,
    { cause },
  );
}

function deathOf({ pid }: ChildProcess, how: string): ExecutionError {
  return new ExecutionError(
    `worker process ${pid}: ended (${how}), expected it to work on. Where memory ran out, use fewer workers or a smaller memory budget.`,
  );
}
