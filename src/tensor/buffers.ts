import { allocate, type DataOf, type DType } from "./dtype.ts";
import { elementCount, Tensor } from "./tensor.ts";

/**
 * Memory of tensors that are no longer read, for tensors to come: new memory has to be cleared first, and large arrays that
 * come and go keep the garbage collector at work.
 */
export class Buffers {
  readonly #free = new Map<string, DataOf<DType>[]>();
  readonly #lent = new Set<DataOf<DType>>();

  /** A tensor whose values are whatever they are. */
  take<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    const length = elementCount(shape);
    const data = (this.#free.get(`${dtype} ${length}`)?.pop() ?? allocate(dtype, length)) as DataOf<D>;
    this.#lent.add(data);
    return new Tensor(dtype, shape, data);
  }

  /** A tensor of zeros. */
  takeZeros<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    const tensor = this.take(dtype, shape);
    new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.byteLength).fill(0);
    return tensor;
  }

  /** Hands back the memory of a tensor that nobody reads any more. What was not taken from here is left alone. */
  give({ dtype, data }: Tensor): void {
    if (!this.#lent.delete(data)) return;
    const key = `${dtype} ${data.length}`;
    const free = this.#free.get(key);
    if (free) free.push(data);
    else this.#free.set(key, [data]);
  }

  /** Lets the memory of a tensor stay where it is, even if it is handed back. */
  keep({ data }: Tensor): void {
    this.#lent.delete(data);
  }

  /** Leaves the memory to the garbage collector. */
  clear(): void {
    this.#free.clear();
    this.#lent.clear();
  }
}
