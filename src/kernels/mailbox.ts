/** What a mailbox holds: nothing, a call that is not answered, or a failure. */
const [EMPTY, CALLED, FAILED] = [0, 1, 2];
/** Arguments that a call has room for, and bytes for the text of a failure. */
const [ARGUMENTS, TEXT] = [32, 512];
const HEADER = 16;

/** A kernel by its place among the module's functions, and its arguments. */
interface KernelCall {
  readonly kernel: number;
  readonly args: readonly number[];
}

/**
 * Hands kernel calls to one thread and its answers back, through memory that both share: either side waits for the other by
 * an atomic operation, which takes a few microseconds where a message between event loops takes a hundred and more.
 */
export class Mailbox {
  /** State, kernel, number of arguments, length of the failure's text. */
  readonly #header: Int32Array;
  readonly #args: Float64Array;
  readonly #text: Uint8Array;

  constructor(readonly buffer = new SharedArrayBuffer(HEADER + 8 * ARGUMENTS + TEXT)) {
    this.#header = new Int32Array(buffer, 0, HEADER / 4);
    this.#args = new Float64Array(buffer, HEADER, ARGUMENTS);
    this.#text = new Uint8Array(buffer, HEADER + 8 * ARGUMENTS, TEXT);
  }

  /** Puts a call in; the thread begins at once. */
  post({ kernel, args }: KernelCall): void {
    this.#args.set(args);
    this.#header[1] = kernel;
    this.#header[2] = args.length;
    this.#change(CALLED);
  }

  /** Waits until the thread has answered. @returns why it failed, if it did */
  awaitAnswer(): string | undefined {
    Atomics.wait(this.#header, 0, CALLED);
    if (Atomics.load(this.#header, 0) !== FAILED) return undefined;
    return new TextDecoder().decode(this.#text.slice(0, this.#header[3]));
  }

  /** On the thread: waits for a call. */
  awaitCall(): KernelCall {
    for (let state = EMPTY; state !== CALLED; state = Atomics.load(this.#header, 0)) {
      Atomics.wait(this.#header, 0, state);
    }
    return { kernel: this.#header[1], args: Array.from(this.#args.subarray(0, this.#header[2])) };
  }

  /** On the thread: says that the call has returned, or why it failed. */
  answer(failure?: string): void {
    const text = new TextEncoder().encode(failure).subarray(0, TEXT);
    this.#text.set(text);
    this.#header[3] = text.length;
    this.#change(failure === undefined ? EMPTY : FAILED);
  }

  #change(state: number): void {
    Atomics.store(this.#header, 0, state);
    Atomics.notify(this.#header, 0);
  }
}
