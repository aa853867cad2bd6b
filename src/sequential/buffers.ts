import { allocate, type DataOf, type DType } from "../tensor/dtype.ts";
import { elementCount, Tensor } from "../tensor/tensor.ts";

/** Memory of tensors that are no longer read, for tensors to come: memory that is new has to be cleared first. */
export class Buffers {
  readonly #free = new Map<string, DataOf<DType>[]>();

  /** A tensor whose values are whatever they are. */
  take<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    const length = elementCount(shape);
    const data = (this.#free.get(`${dtype} ${length}`)?.pop() ?? allocate(dtype, length)) as DataOf<D>;
    return new Tensor(dtype, shape, data);
  }

  /** Hands back the memory of a tensor that nobody reads any more. */
  give({ dtype, data }: Tensor): void {
    const key = `${dtype} ${data.length}`;
    const free = this.#free.get(key);
    if (free) free.push(data);
    else this.#free.set(key, [data]);
  }

  /** Leaves the memory to the garbage collector. */
  clear(): void {
    this.#free.clear();
  }
}
