import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bfloat16ToFloat32, encodeBfloat16, float32ToBfloat16 } from "./bfloat16.ts";
import { encodeFloat16, float16ToFloat32, float32ToFloat16 } from "./float16.ts";

/** A format of sixteen bits: a sign, then its exponent, then its fraction. */
interface Format {
  readonly fractionBits: number;
  readonly widen: (bits: Uint16Array, values: Float32Array) => void;
  readonly narrow: (values: Float32Array, bits: Uint16Array) => void;
  /** The bits for those of a float32. */
  readonly encode: (word: number) => number;
  /** Float32s with the bits that they become. */
  readonly edges: readonly (readonly [what: string, word: number, bits: number])[];
}

const FORMATS: Readonly<Record<string, Format>> = {
  bfloat16: {
    fractionBits: 7,
    widen: bfloat16ToFloat32,
    narrow: float32ToBfloat16,
    encode: encodeBfloat16,
    edges: [
      ["NaN with a payload in the lower half only", 0x7f800001, 0x7fc0],
      ["negative NaN", 0xffffffff, 0xffff],
      ["the largest float32, which is infinity", 0x7f7fffff, 0x7f80],
      ["the smallest float32, which is zero", 0x00000001, 0x0000],
      ["negative zero", 0x80000000, 0x8000],
    ],
  },
  float16: {
    fractionBits: 10,
    widen: float16ToFloat32,
    narrow: float32ToFloat16,
    encode: encodeFloat16,
    edges: [
      ["NaN with a payload in the lower half only", 0x7f800001, 0x7e00],
      ["negative NaN", 0xffffffff, 0xfe00],
      ["the largest float32, which is infinity", 0x7f7fffff, 0x7c00],
      ["the smallest float32, which is zero", 0x00000001, 0x0000],
      ["half of the smallest subnormal, which is zero", 0x33000000, 0x0000],
      ["a little more than half of the smallest subnormal", 0x33000001, 0x0001],
      ["a float32 below a quarter of the smallest subnormal", 0x327fffff, 0x0000],
      ["negative zero", 0x80000000, 0x8000],
    ],
  },
};

const ALL = Uint16Array.from({ length: 65536 }, (_, bits) => bits);

describe.each(Object.entries(FORMATS))("%s", (_, { fractionBits, encode, edges, ...format }) => {
  const infinity = 0x7fff - (2 ** fractionBits - 1);
  const isNaNBits = (bits: number) => (bits & 0x7fff) > infinity;

  function widen(bits: Uint16Array): Float32Array {
    const values = new Float32Array(bits.length);
    format.widen(bits, values);
    return values;
  }

  function narrow(values: Float32Array): Uint16Array {
    const bits = new Uint16Array(values.length);
    format.narrow(values, bits);
    return bits;
  }

  test("every pattern widens to the value that its sign, exponent and fraction spell", () => {
    const wrong = [...widen(ALL)].findIndex((value, bits) => !Object.is(value, spelled(bits, fractionBits)));
    expect(wrong).toBe(-1);
  });

  test("every pattern comes back from float32 unchanged, NaN as some NaN", () => {
    const back = narrow(widen(ALL));
    const wrong = ALL.find((bits) => (isNaNBits(bits) ? !isNaNBits(back[bits]) : back[bits] !== bits));
    expect(wrong).toBeUndefined();
  });

  test("between two neighbours, subnormal ones too, the nearer one is taken, and halfway the even one", () => {
    const finite = [...ALL].filter((bits) => (bits & 0x7fff) < infinity);
    const wrong = finite.filter((bits) => {
      const middle = wordOf((spelled(bits, fractionBits) + magnitudeAfter(bits, fractionBits)) / 2);
      const nearest = [middle - 1, middle, middle + 1].map(encode);
      return String(nearest) !== String([bits, bits + (bits & 1), bits + 1]);
    });
    expect(wrong).toEqual([]);
  });

  test.each(edges)("%s has its bits", (_, word, bits) => {
    expect(encode(word)).toBe(bits);
  });

  test("whatever bits float32s have, all at once they become what they become one by one", () => {
    fc.assert(
      fc.property(fc.uint32Array(), (words) => {
        expect([...narrow(new Float32Array(words.buffer, words.byteOffset, words.length))]).toEqual(
          [...words].map(encode),
        );
      }),
    );
    const words = edges.map(([, word]) => word);
    expect([...narrow(new Float32Array(Uint32Array.from(words).buffer))]).toEqual(words.map(encode));
  });

  test("views in the middle of a buffer are read at their place, odd lengths too", () => {
    const values = [1, -2, -0, Number.POSITIVE_INFINITY, 3];
    const bits = narrow(Float32Array.from(values));
    expect([...narrow(Float32Array.from(values).subarray(1))]).toEqual([...bits.subarray(1)]);
    expect([...widen(bits)]).toEqual(values);
    expect([...widen(bits.subarray(1))]).toEqual(values.slice(1));
    expect([...widen(bits.subarray(2, 4))]).toEqual(values.slice(2, 4));
  });
});

/** The number that sign, exponent and fraction stand for. */
function spelled(bits: number, fractionBits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const [steps, highest] = [2 ** fractionBits, 2 ** (15 - fractionBits) - 1];
  const [exponent, fraction] = [(bits & 0x7fff) >>> fractionBits, bits & (steps - 1)];
  if (exponent === highest) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  const bias = (highest - 1) / 2;
  return sign * (exponent ? 1 + fraction / steps : (2 * fraction) / steps) * 2 ** (exponent - bias);
}

/** The number of the next magnitude; after the largest, the one that infinity stands in for. */
function magnitudeAfter(bits: number, fractionBits: number): number {
  const next = spelled(bits + 1, fractionBits);
  return Number.isFinite(next) ? next : Math.sign(next) * 2 ** (2 ** (14 - fractionBits));
}

/** The bits of a float32. */
function wordOf(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0];
}
