/** How one dtype, spelled as in a safetensors header, is stored: bytes for one element and the typed array that holds it. */
const STORAGE = {
  F64: { bytes: 8, array: Float64Array },
  F32: { bytes: 4, array: Float32Array },
  F16: { bytes: 2, array: Uint16Array },
  BF16: { bytes: 2, array: Uint16Array },
  F8_E4M3: { bytes: 1, array: Uint8Array },
  I64: { bytes: 8, array: BigInt64Array },
  I32: { bytes: 4, array: Int32Array },
  I16: { bytes: 2, array: Int16Array },
  I8: { bytes: 1, array: Int8Array },
  U8: { bytes: 1, array: Uint8Array },
  BOOL: { bytes: 1, array: Uint8Array },
} as const;

/** An element type as safetensors spells it. F16, BF16 and F8_E4M3 are held as raw bits. */
export type DType = keyof typeof STORAGE;

/** The typed array that holds elements of dtype `D`. */
export type DataOf<D extends DType> = InstanceType<(typeof STORAGE)[D]["array"]>;

/** Floating-point dtypes that a checkpoint's weights come in. */
export type FloatDType = "F32" | "F16" | "BF16";

/** Whether a name is one of safetensors' dtypes that layerwise knows. */
export function isDType(name: string): name is DType {
  return Object.hasOwn(STORAGE, name);
}

/** Bytes of one element. */
export function byteSize(dtype: DType): number {
  return STORAGE[dtype].bytes;
}

/** An array of `length` zeros that holds elements of `dtype`. */
export function allocate<D extends DType>(dtype: D, length: number): DataOf<D> {
  return new STORAGE[dtype].array(length) as DataOf<D>;
}

/** The elements in `bytes`, without a copy where the alignment allows it. */
export function viewBytes<D extends DType>(dtype: D, bytes: Uint8Array): DataOf<D> {
  const { bytes: size, array } = STORAGE[dtype];
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new array(aligned.buffer as ArrayBuffer, aligned.byteOffset, aligned.byteLength / size) as DataOf<D>;
}
