import { once, setMaxListeners } from "node:events";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { ExecutionError } from "../errors.ts";
import { instantiate, type Kernels } from "./instantiate.ts";
import type { KernelCall } from "./worker.ts";

const require = createRequire(import.meta.url);

/** Threads that run kernels on one shared memory. */
export class Threads {
  private constructor(
    private readonly workers: readonly Worker[],
    /** The kernels on the calling thread, for work too small to share out. */
    readonly here: Kernels,
    /** Aborted once a thread has failed or all were stopped: nothing runs after that. */
    private readonly ended: AbortController,
  ) {}

  /** Starts `count` threads, one for each core by default. They do not keep the process alive. */
  static async start(memory: WebAssembly.Memory, count = availableParallelism()): Promise<Threads> {
    const module = await WebAssembly.compile(await readFile(require.resolve("#kernels.wasm")));
    const ended = new AbortController();
    setMaxListeners(count, ended.signal); // one for each call in progress
    const workers = Array.from({ length: count }, () => {
      const worker = new Worker(require.resolve("#kernel-worker"), { workerData: { module, memory } });
      worker.on("error", (cause) => ended.abort(failure(cause)));
      worker.unref();
      return worker;
    });
    return new Threads(workers, instantiate(module, memory), ended);
  }

  get count(): number {
    return this.workers.length;
  }

  /**
   * Runs a kernel once on each thread, with the arguments that `argsOf` gives for it; none where it gives null.
   *
   * @throws ExecutionError if a thread fails or has failed, or if the threads are stopped
   */
  async run(kernel: string, argsOf: (thread: number) => readonly number[] | null): Promise<void> {
    const { signal } = this.ended;
    signal.throwIfAborted();
    await Promise.all(
      this.workers.map(async (worker, thread) => {
        const args = argsOf(thread);
        if (args) await call(worker, { kernel, args }, signal);
      }),
    );
  }

  async stop(): Promise<void> {
    this.ended.abort(
      new ExecutionError("kernels: the threads are stopped, expected running ones. Close the pool last."),
    );
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }
}

/** The worker is referenced while it works, so that the process waits for it. */
async function call(worker: Worker, message: KernelCall, ended: AbortSignal): Promise<void> {
  worker.ref();
  try {
    const reply = once(worker, "message", { signal: ended });
    worker.postMessage(message);
    await reply;
  } catch {
    throw ended.reason;
  } finally {
    worker.unref();
  }
}

function failure(cause: Error): ExecutionError {
  return new ExecutionError(`kernels: a thread failed (${cause.message}), expected it to go on.`, { cause });
}
