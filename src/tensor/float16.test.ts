import { expect, test } from "vitest";
import { encodeFloat16, float16ToFloat32, float32ToFloat16 } from "./float16.ts";

const ALL = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
const isNaNBits = (bits: number) => (bits & 0x7fff) > 0x7c00;

function widened(): Float32Array {
  const values = new Float32Array(ALL.length);
  float16ToFloat32(ALL, values);
  return values;
}

test("every pattern widens to the value that its sign, exponent and fraction spell", () => {
  const wrong = [...widened()].findIndex((value, bits) => !Object.is(value, spelled(bits)));
  expect(wrong).toBe(-1);
});

test("every pattern comes back from float32 unchanged, NaN as some NaN", () => {
  const back = narrow(widened());
  const wrong = ALL.find((bits) => (isNaNBits(bits) ? !isNaNBits(back[bits]) : back[bits] !== bits));
  expect(wrong).toBeUndefined();
});

test("between two neighbours, subnormal ones too, the nearer one is taken, and halfway the even one", () => {
  const wrong = [...ALL.keys()].filter((bits) => (bits & 0x7fff) < 0x7c00).filter((bits) => !roundsToNearest(bits));
  expect(wrong).toEqual([]);
});

test.each([
  ["NaN with a payload in the lower half only", 0x7f800001, 0x7e00],
  ["negative NaN", 0xffffffff, 0xfe00],
  ["the largest float32, which is infinity", 0x7f7fffff, 0x7c00],
  ["the smallest float32, which is zero", 0x00000001, 0x0000],
  ["half of the smallest subnormal, which is zero", 0x33000000, 0x0000],
  ["a little more than half of the smallest subnormal", 0x33000001, 0x0001],
  ["a float32 below a quarter of the smallest subnormal", 0x327fffff, 0x0000],
  ["negative zero", 0x80000000, 0x8000],
])("%s has its bits", (_, word, expected) => {
  expect(encodeFloat16(word)).toBe(expected);
});

test("a view in the middle of a buffer is read at its place", () => {
  expect([...narrow(Float32Array.of(1, 2, 3).subarray(1))]).toEqual([0x4000, 0x4200]);
});

function narrow(values: Float32Array): Uint16Array {
  const bits = new Uint16Array(values.length);
  float32ToFloat16(values, bits);
  return bits;
}

function spelled(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >>> 10) & 0x1f, bits & 0x3ff];
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? 1 + fraction / 1024 : fraction / 512) * 2 ** (exponent - 15);
}

/** Whether the float32s around the middle between `bits` and the next magnitude round as they must. */
function roundsToNearest(bits: number): boolean {
  const isLargest = (bits & 0x7fff) === 0x7bff; // the next magnitude would be 65536
  const next = isLargest ? Math.sign(spelled(bits)) * 65536 : spelled(bits + 1);
  const middle = wordOf((spelled(bits) + next) / 2);
  const even = bits + (bits & 1);
  return encodeFloat16(middle - 1) === bits && encodeFloat16(middle) === even && encodeFloat16(middle + 1) === bits + 1;
}

/** The bits of a float32. */
function wordOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}
