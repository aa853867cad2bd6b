import { expect, test } from "vitest";
import { fromBits, goldenTables } from "../../test/compressed-tensors.ts";
import { encodeFloat8, FLOAT8_VALUES, float8ToFloat32, float32ToFloat8 } from "./float8.ts";

const ALL = Uint8Array.from({ length: 256 }, (_, bits) => bits);
const wordsOf = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset, values.length);

test("every pattern widens to PyTorch's value", () => {
  expect([...float8ToFloat32(ALL)]).toEqual([...fromBits(goldenTables.e4m3fn_decode)]);
});

test("values round to PyTorch's bytes", () => {
  const { x, byte } = goldenTables.e4m3fn;
  const bits = new Uint8Array(x.length);
  float32ToFloat8(fromBits(x), bits);
  expect([...bits]).toEqual(byte);
});

test("between two neighbours, subnormal ones too, the nearer one is taken, and halfway the even one", () => {
  for (let bits = 0; bits < 0x7e; bits++) {
    const [middle] = wordsOf(Float32Array.of((FLOAT8_VALUES[bits] + FLOAT8_VALUES[bits + 1]) / 2));
    const found = [middle - 1, middle, middle + 1, (middle | 0x80000000) >>> 0].map(encodeFloat8);
    const even = bits + (bits & 1);
    expect(found).toEqual([bits, even, bits + 1, even | 0x80]);
  }
});

test("what rounds beyond 448 is NaN, up to there the largest value stays", () => {
  const words = wordsOf(Float32Array.of(464, 465, Infinity, -Infinity, NaN));
  expect([...words].map(encodeFloat8)).toEqual([0x7e, 0x7f, 0x7f, 0xff, 0x7f]);
});
