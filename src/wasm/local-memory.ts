import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { instantiate } from "./instantiate.ts";

const require = createRequire(import.meta.url);

/** An array whose bytes can be copied. */
export type Values = ArrayBufferView & { readonly length: number };

/** Elements that a loop works on at a time: few enough for a core's cache, so that memory itself is read and written once. */
export const PIECE = 2 ** 14;

const [PAGE, ALIGNMENT] = [2 ** 16, 64];
/** WebAssembly addresses 4 GiB at most. */
const MAX_PAGES = 2 ** 16;

/** The kernels on memory of the calling thread's own, which holds nothing from one loop to the next. */
const memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES, shared: true });
let bytes = new Uint8Array(memory.buffer);

/** The functions of the WebAssembly module, on the memory that {@link reserve} gives out. */
export const local = instantiate(new WebAssembly.Module(readFileSync(require.resolve("#kernels.wasm"))), memory);

/** Addresses of areas of so many bytes each; those given out before are free again. Kernels may read and write 64 bytes past an end. */
export function reserve(...sizes: readonly number[]): number[] {
  let top = ALIGNMENT;
  const addresses = sizes.map((size) => {
    const address = top;
    top = Math.ceil((top + size) / ALIGNMENT + 1) * ALIGNMENT;
    return address;
  });
  if (top > bytes.length) {
    memory.grow(Math.ceil((top - bytes.length) / PAGE));
    bytes = new Uint8Array(memory.buffer);
  }
  return addresses;
}

/** Copies an array to an address. */
export function copyIn(address: number, values: Values): void {
  bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), address);
}

/** Fills an array from an address on. */
export function copyOut(address: number, values: Values): void {
  const target = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  target.set(bytes.subarray(address, address + target.length));
}
