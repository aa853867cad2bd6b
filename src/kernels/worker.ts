// A thread of the kernel pool: runs functions of the WebAssembly module on the memory that all threads share. It waits for
// calls without an event loop, until it is terminated.
import { parentPort, workerData } from "node:worker_threads";
import { instantiate } from "../wasm/instantiate.ts";
import { Mailbox } from "./mailbox.ts";

const kernels = Object.values(instantiate(workerData.module, workerData.memory));
const mailbox = new Mailbox(workerData.mailbox);
parentPort?.postMessage("ready");
for (;;) {
  const { kernel, args } = mailbox.awaitCall();
  try {
    kernels[kernel](...args);
    mailbox.answer();
  } catch (error) {
    mailbox.answer(String(error instanceof Error ? error.message : error));
  }
}
