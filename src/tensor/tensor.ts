import { ShapeError } from "../errors.ts";
import { allocate, byteSize, type DataOf, type DType } from "./dtype.ts";

/** A dense row-major array of one dtype. Its data is never changed by a reader. */
export class Tensor<D extends DType = DType> {
  constructor(
    readonly dtype: D,
    readonly shape: readonly number[],
    readonly data: DataOf<D>,
  ) {
    const expected = elementCount(shape);
    if (data.length !== expected) {
      throw new ShapeError(`tensor: ${data.length} elements, expected ${expected} for shape [${shape.join(", ")}].`);
    }
  }

  /** A tensor of zeros. */
  static zeros<D extends DType>(dtype: D, shape: readonly number[]): Tensor<D> {
    return new Tensor(dtype, shape, allocate(dtype, elementCount(shape)));
  }

  /** Size of the data in bytes. */
  get byteLength(): number {
    return this.data.length * byteSize(this.dtype);
  }

  /** The data as the bytes that a safetensors file holds (little-endian), without a copy. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.data.buffer as ArrayBuffer, this.data.byteOffset, this.data.byteLength);
  }

  /** The same data under another shape of as many elements. */
  reshape(shape: readonly number[]): Tensor<D> {
    return new Tensor(this.dtype, shape, this.data);
  }

  /** Whether the elements are of dtype `D`; narrows the type. */
  is<E extends DType>(dtype: E): this is Tensor<E> {
    return (this.dtype as DType) === dtype;
  }
}

/** Product of the dimensions; 1 for a scalar. */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
