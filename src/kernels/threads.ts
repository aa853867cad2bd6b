import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { instantiate, type Kernels } from "./instantiate.ts";
import type { KernelCall } from "./worker.ts";

const require = createRequire(import.meta.url);

/** Threads that run kernels on one shared memory. */
export class Threads {
  private constructor(
    private readonly workers: readonly Worker[],
    /** The kernels on the calling thread, for work too small to share out. */
    readonly here: Kernels,
  ) {}

  /** Starts `count` threads, one for each core by default. They do not keep the process alive. */
  static async start(memory: WebAssembly.Memory, count = availableParallelism()): Promise<Threads> {
    const module = await WebAssembly.compile(await readFile(require.resolve("#kernels.wasm")));
    const workers = Array.from({ length: count }, () => {
      const worker = new Worker(require.resolve("#kernel-worker"), { workerData: { module, memory } });
      worker.unref();
      return worker;
    });
    return new Threads(workers, instantiate(module, memory));
  }

  get count(): number {
    return this.workers.length;
  }

  /** Runs a kernel once on each thread, with the arguments that `argsOf` gives for it; none where it gives null. */
  async run(kernel: string, argsOf: (thread: number) => readonly number[] | null): Promise<void> {
    await Promise.all(
      this.workers.map(async (worker, thread) => {
        const args = argsOf(thread);
        if (args) await call(worker, { kernel, args });
      }),
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.workers.map((worker) => worker.terminate()));
  }
}

/** The worker is referenced while it works, so that the process waits for it. */
function call(worker: Worker, message: KernelCall): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => () => {
      worker.off("message", onMessage);
      worker.off("error", onError);
      worker.unref();
      finish();
    };
    const onMessage = settle(resolve);
    const onError = (error: Error) => settle(() => reject(error))();
    worker.on("message", onMessage);
    worker.on("error", onError);
    worker.ref();
    worker.postMessage(message);
  });
}
