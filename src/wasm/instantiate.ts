/** The functions that the WebAssembly module exports. */
export type Kernels = Readonly<Record<string, (...args: number[]) => number>>;

/** The module's functions on a shared memory. They allocate nothing themselves: every address is an argument. */
export function instantiate(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  const abort = () => {
    throw new Error("kernel aborted");
  };
  return new WebAssembly.Instance(module, { env: { memory, abort } }).exports as unknown as Kernels;
}
