import fc from "fast-check";
import { expect, test } from "vitest";
import { goldenTables } from "../../test/compressed-tensors.ts";
import { detectPacking, packRows, unpackRows, wordCount } from "./int32-packing.ts";

test.each([
  ["4 bits, eight a word", 4, [-8, -1, 0, 7, 3, -4, 1, 2, 5], [0xa94bf870, 0x0000000d]],
  ["3 bits, straddling two words", 3, [-4, 3, 0, 1, -1, 2, -2, -3, 3, 3, 3, -2], [0xff2b3b38, 0x00000005]],
  ["8 bits, four a word", 8, [-128, 127, 0, -1, 5], [0x7f80ff00, 0x00000085]],
])("codes are packed low bits first: %s", (_, bits, codes, words) => {
  expect(packRows(Int8Array.from(codes), [1, codes.length], bits)).toEqual(Int32Array.from(words));
});

test.each(Object.entries(goldenTables.pack_int32))("%s-bit words equal the reference's", (bits, { q, packed_dim1 }) => {
  const [codes, words] = [Int8Array.from(q.flat()), Int32Array.from(packed_dim1.flat())];
  expect(packRows(codes, [2, 37], Number(bits))).toEqual(words);
  expect(unpackRows(words, [2, 37], Number(bits))).toEqual(codes);
});

test.each(Object.entries(goldenTables.pack_int32_word_aligned))(
  "%s-bit words of the older packing are read",
  (bits, { q, packed_dim1 }) => {
    const words = Int32Array.from(packed_dim1.flat());
    expect(packed_dim1[0]).toHaveLength(wordCount(37, Number(bits), "aligned"));
    expect(unpackRows(words, [2, 37], Number(bits), "aligned")).toEqual(Int8Array.from(q.flat()));
  },
);

test.each([4, 8])("rows of whole words of %i bits are packed as others are, wherever their bytes lie", (bits) => {
  const bytes = Int8Array.from({ length: 1 + 3 * 16 }, (_, i) => ((i * 37) % 2 ** bits) - 2 ** (bits - 1));
  const packed = packRows(bytes.subarray(1), [3, 16], bits);
  expect(packRows(bytes.slice(1), [3, 16], bits)).toEqual(packed);
  expect(unpackRows(packed, [3, 16], bits)).toEqual(bytes.slice(1));
});

test("the two packings are told apart by their words, and taken for the newer one where both have as many", () => {
  expect(detectPacking(64, 3, 6, "weight_packed")).toBe("dense");
  expect(detectPacking(64, 3, 7, "weight_packed")).toBe("aligned");
  expect(detectPacking(37, 3, 4, "weight_packed")).toBe("dense");
});

/** Matrices of codes of 1 to 8 bits, of any small shape. */
const matrices = fc
  .record({ bits: fc.integer({ min: 1, max: 8 }), shape: fc.tuple(size(5), size(70)) })
  .chain(({ bits, shape: [rows, columns] }) => {
    const code = fc.integer({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 });
    const codes = fc.array(code, { minLength: rows * columns, maxLength: rows * columns });
    return codes.map((all) => ({ bits, shape: [rows, columns], codes: Int8Array.from(all) }));
  });

test("unpacking gives back what was packed", () => {
  fc.assert(
    fc.property(matrices, ({ bits, shape, codes }) => {
      expect(unpackRows(packRows(codes, shape, bits), shape, bits)).toEqual(codes);
    }),
  );
});

test("a row is its codes plus 2^(bits−1), read as one number from the low bits up", () => {
  fc.assert(
    fc.property(matrices, ({ bits, shape, codes }) => {
      const [words, columns] = [wordCount(shape[1], bits), shape[1]];
      const packed = new Uint32Array(packRows(codes, shape, bits).buffer);
      for (let row = 0; row < shape[0]; row++) {
        const unsigned = Array.from(
          codes.subarray(row * columns, (row + 1) * columns),
          (code) => code + 2 ** (bits - 1),
        );
        expect(joined([...packed.subarray(row * words, (row + 1) * words)], 32)).toBe(joined(unsigned, bits));
      }
    }),
  );
});

test("a number of words that fits neither packing is an error", () => {
  expect(() => detectPacking(64, 3, 5, "q_proj.weight_packed")).toThrow(
    "q_proj.weight_packed: 5 words for 64 codes of 3 bits, expected 6 (or 7 in files older than compressed-tensors 0.18).",
  );
  expect(() => detectPacking(64, 4, 5, "q_proj.weight_packed")).toThrow(
    "q_proj.weight_packed: 5 words for 64 codes of 4 bits, expected 8.",
  );
});

function size(max: number) {
  return fc.integer({ min: 1, max });
}

function joined(digits: number[], bits: number): bigint {
  return digits.reduceRight((number, digit) => (number << BigInt(bits)) | BigInt(digit), 0n);
}
