import { expect, test } from "vitest";
import { bfloat16ToFloat32, encodeBfloat16, float32ToBfloat16 } from "./bfloat16.ts";

const ALL = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
const isNaNBits = (bits: number) => (bits & 0x7fff) > 0x7f80;

function widened(): Float32Array {
  const values = new Float32Array(ALL.length);
  bfloat16ToFloat32(ALL, values);
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

test("between two neighbours the nearer one is taken, and halfway the even one", () => {
  const wrong = [...ALL.keys()].filter((bits) => (bits & 0x7fff) < 0x7f80).filter((bits) => !roundsToNearest(bits));
  expect(wrong).toEqual([]);
});

test.each([
  ["NaN with a payload in the lower half only", 0x7f800001, 0x7fc0],
  ["negative NaN", 0xffffffff, 0xffff],
  ["the largest float32, which is infinity", 0x7f7fffff, 0x7f80],
  ["the smallest float32, which is zero", 0x00000001, 0x0000],
  ["negative zero", 0x80000000, 0x8000],
])("%s has its bits", (_, word, expected) => {
  expect(encodeBfloat16(word)).toBe(expected);
});

test("a view in the middle of a buffer is read at its place", () => {
  expect([...narrow(Float32Array.of(1, 2, 3).subarray(1))]).toEqual([0x4000, 0x4040]);
});

function narrow(values: Float32Array): Uint16Array {
  const bits = new Uint16Array(values.length);
  float32ToBfloat16(values, bits);
  return bits;
}

function spelled(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, fraction] = [(bits >>> 7) & 0xff, bits & 0x7f];
  if (exponent === 0xff) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent ? 1 + fraction / 128 : fraction / 64) * 2 ** (exponent - 127);
}

/** Whether the float32s around the middle between `bits` and the next magnitude round as they must. */
function roundsToNearest(bits: number): boolean {
  const middle = bits * 65536 + 0x8000;
  const even = bits + (bits & 1);
  return (
    encodeBfloat16(middle - 1) === bits && encodeBfloat16(middle) === even && encodeBfloat16(middle + 1) === bits + 1
  );
}
