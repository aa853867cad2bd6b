import { ExecutionError } from "../errors.ts";

const PAGE = 2 ** 16;
/** WebAssembly addresses 4 GiB at most. */
const MAX_PAGES = 2 ** 16;
const ALIGNMENT = 64;

type ArrayType<T> = {
  new (buffer: ArrayBufferLike, offset: number, length: number): T;
  readonly BYTES_PER_ELEMENT: number;
};

/** Memory that all threads share, handed out from the bottom up. What is taken last is given back first. */
export class Arena {
  readonly memory = new WebAssembly.Memory({ initial: 1, maximum: MAX_PAGES, shared: true });
  /** The first bytes stay free, so that no address is 0. */
  #top = ALIGNMENT;

  /** Takes `bytes` bytes; returns their address. @throws ExecutionError past 4 GiB */
  take(bytes: number): number {
    const address = this.#top;
    const top = Math.ceil((address + bytes) / ALIGNMENT) * ALIGNMENT;
    const missing = Math.ceil((top - this.memory.buffer.byteLength) / PAGE);
    if (top > MAX_PAGES * PAGE) {
      throw new ExecutionError(
        `kernels: ${bytes} more bytes wanted with ${address} taken, expected at most 4 GiB together.`,
      );
    }
    if (missing > 0) this.memory.grow(missing);
    this.#top = top;
    return address;
  }

  /** Copies `values` in; returns their address. */
  put(values: ArrayBufferView & { readonly length: number }): number {
    const address = this.take(values.byteLength);
    const source = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    new Uint8Array(this.memory.buffer, address, values.byteLength).set(source);
    return address;
  }

  /** The memory at an address as an array; gone once more is taken. */
  view<T>(type: ArrayType<T>, address: number, length: number): T {
    return new type(this.memory.buffer, address, length);
  }

  /** Runs `work`, then gives back what it took. */
  async scoped<T>(work: () => T | Promise<T>): Promise<T> {
    const mark = this.#top;
    try {
      return await work();
    } finally {
      this.#top = mark;
    }
  }
}
