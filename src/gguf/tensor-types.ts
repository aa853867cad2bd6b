/** How elements of one type lie in a file: `bytes` hold a block of `elements` neighbours of a row. */
interface TensorTypeSpec {
  readonly code: number;
  readonly elements: number;
  readonly bytes: number;
}

const TENSOR_TYPES = {
  F32: { code: 0, elements: 1, bytes: 4 },
  F16: { code: 1, elements: 1, bytes: 2 },
  Q4_0: { code: 2, elements: 32, bytes: 18 },
  Q4_1: { code: 3, elements: 32, bytes: 20 },
  Q8_0: { code: 8, elements: 32, bytes: 34 },
  Q4_K: { code: 12, elements: 256, bytes: 144 },
  Q6_K: { code: 14, elements: 256, bytes: 210 },
  BF16: { code: 30, elements: 1, bytes: 2 },
} as const satisfies Readonly<Record<string, TensorTypeSpec>>;

/** A type of tensors, as llama.cpp spells it. */
export type TensorType = keyof typeof TENSOR_TYPES;

/** The types that layerwise reads. */
const tensorTypeNames = Object.keys(TENSOR_TYPES) as readonly TensorType[];

/** How a type is stored. */
export function specOf(type: TensorType): TensorTypeSpec {
  return TENSOR_TYPES[type];
}

/** The type of a code; undefined for one that layerwise does not know. */
export function tensorTypeOfCode(code: number): TensorType | undefined {
  return tensorTypeNames.find((type) => TENSOR_TYPES[type].code === code);
}

/** Bytes of `count` elements, which are whole blocks. */
export function bytesOf(type: TensorType, count: number): number {
  const { elements, bytes } = TENSOR_TYPES[type];
  return (count / elements) * bytes;
}

/** Whether a type, by its name, holds values as they are, up to rounding, rather than codes in blocks. */
export function isPlainType(type: string): boolean {
  return type === "F32" || type === "F16" || type === "BF16";
}
