import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { ExecutionError } from "../errors.ts";
import { instantiate, type Kernels } from "../wasm/instantiate.ts";
import { Mailbox } from "./mailbox.ts";

const require = createRequire(import.meta.url);

/** A thread beside the calling one. */
interface Helper {
  readonly worker: Worker;
  readonly mailbox: Mailbox;
}

/** Threads that run kernels on one shared memory; the calling one is one of them. */
export class Threads {
  /** Why nothing runs any more. */
  #ended?: ExecutionError;
  readonly #names: readonly string[];

  private constructor(
    private readonly helpers: readonly Helper[],
    /** The kernels on the calling thread, for work too small to share out. */
    readonly here: Kernels,
  ) {
    this.#names = Object.keys(here);
  }

  /** Starts as many threads as make `count` with the calling one: one for each core by default. They do not keep the process alive. */
  static async start(memory: WebAssembly.Memory, count = availableParallelism()): Promise<Threads> {
    const module = await WebAssembly.compile(await readFile(require.resolve("#kernels.wasm")));
    const helpers = Array.from({ length: count - 1 }, async () => {
      const mailbox = new Mailbox();
      const workerData = { module, memory, mailbox: mailbox.buffer };
      const worker = new Worker(require.resolve("#kernel-worker"), { workerData });
      await once(worker, "message");
      worker.unref();
      return { worker, mailbox };
    });
    return new Threads(await Promise.all(helpers), instantiate(module, memory));
  }

  get count(): number {
    return this.helpers.length + 1;
  }

  /**
   * Runs a kernel once on each thread, with the arguments that `argsOf` gives for it, and returns when all are done; a thread
   * for which it gives null does nothing.
   *
   * @throws ExecutionError if a thread fails or has failed, or if the threads are stopped
   */
  run(kernel: string, argsOf: (thread: number) => readonly number[] | null): void {
    if (this.#ended) throw this.#ended;
    const place = this.#names.indexOf(kernel);
    const called = this.helpers.filter(({ mailbox }, index) => {
      const args = argsOf(index + 1);
      if (args) mailbox.post({ kernel: place, args });
      return args !== null;
    });
    const own = this.#runHere(kernel, argsOf(0));
    const failures = [own, ...called.map(({ mailbox }) => mailbox.awaitAnswer())];
    const failure = failures.find((message) => message !== undefined);
    if (failure === undefined) return;
    this.#ended = new ExecutionError(`kernels: a thread failed (${failure}), expected it to go on.`);
    throw this.#ended;
  }

  async stop(): Promise<void> {
    this.#ended ??= new ExecutionError("kernels: the threads are stopped, expected running ones. Close the pool last.");
    await Promise.all(this.helpers.map(({ worker }) => worker.terminate()));
  }

  /** The calling thread's share. @returns why it failed, if it did */
  #runHere(kernel: string, args: readonly number[] | null): string | undefined {
    try {
      if (args) this.here[kernel](...args);
      return undefined;
    } catch (error) {
      return String(error instanceof Error ? error.message : error);
    }
  }
}
