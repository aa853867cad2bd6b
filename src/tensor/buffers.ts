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
  readonly #lent = new Set<DataOf<DType>>();
  #round = 0;

  /** A tensor whose values are whatever they are. */
  take<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    const length = elementCount(shape);
    const data = (this.#free.get(`${dtype} ${length}`)?.pop()?.data ?? allocate(dtype, length)) as DataOf<D>;
    this.#lent.add(data);
    return new Tensor(dtype, shape, data);
  }

  /** A tensor of zeros. */
  takeZeros<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    const tensor = this.take(dtype, shape);
    tensor.bytes.fill(0);
    return tensor;
  }

  /** Hands back the memory of a tensor that nobody reads any more. What was not taken from here is left alone. */
  give({ dtype, data }: Tensor): void {
    if (!this.#lent.delete(data)) return;
    const key = `${dtype} ${data.length}`;
    const freed = { data, since: this.#round };
    const free = this.#free.get(key);
    if (free) free.push(freed);
    else this.#free.set(key, [freed]);
  }

  /** Lets the memory of a tensor stay where it is, even if it is handed back. */
  keep({ data }: Tensor): void {
    this.#lent.delete(data);
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
}
