// A thread of the kernel pool: runs exported functions of the WebAssembly module by name, on the memory all threads share.
import { parentPort, workerData } from "node:worker_threads";
import { instantiate } from "./instantiate.ts";

/** A call that the pool sends: which function, with which arguments. */
export interface KernelCall {
  readonly kernel: string;
  readonly args: readonly number[];
}

const kernels = instantiate(workerData.module, workerData.memory);
parentPort?.on("message", ({ kernel, args }: KernelCall) => parentPort?.postMessage(kernels[kernel](...args)));
