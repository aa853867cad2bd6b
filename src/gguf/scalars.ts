/** How a number is stored, little-endian. */
interface NumberStorage {
  /** The code that a file has for the type. */
  readonly code: number;
  readonly bytes: number;
  get(view: DataView, position: number): number;
  set(view: DataView, position: number, value: number): void;
}

const NUMBERS = {
  uint8: { code: 0, bytes: 1, get: (view, at) => view.getUint8(at), set: (view, at, x) => view.setUint8(at, x) },
  int8: { code: 1, bytes: 1, get: (view, at) => view.getInt8(at), set: (view, at, x) => view.setInt8(at, x) },
  uint16: {
    code: 2,
    bytes: 2,
    get: (view, at) => view.getUint16(at, true),
    set: (view, at, x) => view.setUint16(at, x, true),
  },
  int16: {
    code: 3,
    bytes: 2,
    get: (view, at) => view.getInt16(at, true),
    set: (view, at, x) => view.setInt16(at, x, true),
  },
  uint32: {
    code: 4,
    bytes: 4,
    get: (view, at) => view.getUint32(at, true),
    set: (view, at, x) => view.setUint32(at, x, true),
  },
  int32: {
    code: 5,
    bytes: 4,
    get: (view, at) => view.getInt32(at, true),
    set: (view, at, x) => view.setInt32(at, x, true),
  },
  float32: {
    code: 6,
    bytes: 4,
    get: (view, at) => view.getFloat32(at, true),
    set: (view, at, x) => view.setFloat32(at, x, true),
  },
  bool: { code: 7, bytes: 1, get: (view, at) => view.getUint8(at), set: (view, at, x) => view.setUint8(at, x) },
  uint64: {
    code: 10,
    bytes: 8,
    get: (view, at) => Number(view.getBigUint64(at, true)),
    set: (view, at, x) => view.setBigUint64(at, BigInt(x), true),
  },
  int64: {
    code: 11,
    bytes: 8,
    get: (view, at) => Number(view.getBigInt64(at, true)),
    set: (view, at, x) => view.setBigInt64(at, BigInt(x), true),
  },
  float64: {
    code: 12,
    bytes: 8,
    get: (view, at) => view.getFloat64(at, true),
    set: (view, at, x) => view.setFloat64(at, x, true),
  },
} as const satisfies Readonly<Record<string, NumberStorage>>;

/** A type of numbers, or of a yes or no. */
type NumberType = keyof typeof NUMBERS;

/** The type of a value that is no array. */
export type ScalarType = NumberType | "string";

const STRING_CODE = 8;

/** The code of an array, which is no scalar. */
export const ARRAY_CODE = 9;

/** How numbers of a type are stored. */
export function storageOf(type: NumberType): NumberStorage {
  return NUMBERS[type];
}

/** The code of a type. */
export function codeOf(type: ScalarType): number {
  return type === "string" ? STRING_CODE : NUMBERS[type].code;
}

/** The type of a code; undefined for an array's, and for what there is none of. */
export function typeOfCode(code: number): ScalarType | undefined {
  if (code === STRING_CODE) return "string";
  return (Object.keys(NUMBERS) as NumberType[]).find((type) => NUMBERS[type].code === code);
}
