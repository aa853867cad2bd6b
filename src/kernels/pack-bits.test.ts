import fc from "fast-check";
import { expect, test } from "vitest";
import { packBits, unpackBits } from "./pack-bits.ts";

test("codes of any width lie side by side, low bits first, each row begins at a byte, and they are read back", () => {
  const matrices = fc.record({
    rows: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 120, max: 200 })),
    columns: fc.integer({ min: 1, max: 140 }),
    bits: fc.integer({ min: 1, max: 8 }),
    spare: fc.nat(3),
  });
  fc.assert(
    fc.property(matrices, ({ rows, columns, bits, spare }) => {
      const codes = Uint8Array.from({ length: rows * columns }, (_, i) => (i * 37 + (i >> 5)) % 2 ** bits);
      const stride = Math.ceil((columns * bits) / 8) + spare;
      const expected = new Uint8Array(rows * stride);
      for (let bit = 0; bit < rows * columns * bits; bit++) {
        const [code, place] = [Math.floor(bit / bits), bit % bits];
        const [row, column] = [Math.floor(code / columns), code % columns];
        const at = column * bits + place;
        expected[row * stride + (at >> 3)] |= ((codes[code] >> place) & 1) << (at & 7);
      }
      const packed = new Uint8Array(rows * stride).fill(0xff);
      packBits(codes, [rows, columns], bits, 0, packed);
      expect(packed).toEqual(expected);
      const unpacked = new Uint8Array(codes.length);
      unpackBits(packed, [rows, columns], bits, 0, unpacked);
      expect(unpacked).toEqual(codes);
    }),
    { numRuns: 50 },
  );
});

test("an offset is added to signed codes", () => {
  const packed = new Uint8Array(2);
  packBits(Int8Array.of(-8, 7, 0), [1, 3], 4, 8, packed);
  expect([...packed]).toEqual([0xf0, 0x08]);
});
