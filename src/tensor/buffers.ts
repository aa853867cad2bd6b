import { allocate, type DataOf, type DType } from "./dtype.ts";
import { elementCount, Tensor } from "./tensor.ts";

/** Rounds that free memory is kept for without being taken: as many as there are kinds of subgraphs in turn, and some more. */
const ROUNDS = 8;

interface Free {
  readonly data: DataOf<DType>;
  /** The round in which it was handed back. */
  readonly since: number;
}

/**
 * Memory of tensors that are no longer read, for tensors to come: new memory has to be cleared first, and large arrays that
 * come and go keep the garbage collector at work.
 */
export class Buffers {
  readonly #free = new Map<string, Free[]>();
  readonly #lent = new Set<ArrayBufferLike>();
  #round = 0;

  /** A tensor whose values are whatever they are. */
  take<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    const length = elementCount(shape);
    return this.#lend(dtype, shape, this.#takeFree(dtype, length) ?? allocate(dtype, length));
  }

  /** A tensor of zeros. What is new is zero, and takes no room before something is written there. */
  takeZeros<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    const length = elementCount(shape);
    const free = this.#takeFree(dtype, length);
    free?.fill(0 as never);
    return this.#lend(dtype, shape, free ?? allocate(dtype, length));
  }

  /**
   * Hands back the memory of a tensor that nobody reads any more. What was not taken from here, or is a part of what was, is
   * left alone.
   */
  give({ dtype, data }: Tensor): void {
    const isWhole = data.byteLength === data.buffer.byteLength;
    if (!isWhole || !this.#lent.delete(data.buffer)) return;
    const key = `${dtype} ${data.length}`;
    const freed = { data, since: this.#round };
    const free = this.#free.get(key);
    if (free) free.push(freed);
    else this.#free.set(key, [freed]);
  }

  /** Lets the memory of a tensor stay where it is, even if it is handed back. */
  keep({ data }: Tensor): void {
    this.#lent.delete(data.buffer);
  }

  /** Ends a round: memory that nobody has taken for some rounds is left to the garbage collector. */
  age(): void {
    this.#round++;
    for (const [key, free] of this.#free) {
      const recent = free.filter(({ since }) => this.#round - since < ROUNDS);
      if (recent.length === 0) this.#free.delete(key);
      else if (recent.length < free.length) this.#free.set(key, recent);
    }
  }

  /** Leaves all memory to the garbage collector. */
  clear(): void {
    this.#free.clear();
    this.#lent.clear();
  }

  #takeFree<D extends DType>(dtype: D, length: number): DataOf<D> | undefined {
    return this.#free.get(`${dtype} ${length}`)?.pop()?.data as DataOf<D> | undefined;
  }

  #lend<D extends DType>(dtype: D, shape: readonly number[], data: DataOf<D>): Tensor<D> {
    this.#lent.add(data.buffer);
    return new Tensor(dtype, shape, data);
  }
}
