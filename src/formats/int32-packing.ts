import { ShapeError } from "../errors.ts";
import { packBits, unpackBits } from "../kernels/pack-bits.ts";
import type { DataOf } from "../tensor/dtype.ts";

/**
 * How codes of 3, 5, 6 or 7 bits lie in 32-bit words: `dense` is one stream of bits in which a code may straddle two
 * words; `aligned` (compressed-tensors before 0.18) leaves the bits empty in which no whole code fits.
 * For 1, 2, 4 and 8 bits the two are the same.
 */
export type Packing = "dense" | "aligned";

/** Words that hold `count` codes of `bits` bits. */
export function wordCount(count: number, bits: number, packing: Packing = "dense"): number {
  return packing === "dense" ? Math.ceil((count * bits) / 32) : Math.ceil(count / Math.floor(32 / bits));
}

/** The packing in which `count` codes take `words` words; `dense` where both would. */
export function detectPacking(count: number, bits: number, words: number, where: string): Packing {
  const [dense, aligned] = [wordCount(count, bits), wordCount(count, bits, "aligned")];
  if (words === dense) return "dense";
  if (words === aligned) return "aligned";
  const expected = dense === aligned ? dense : `${dense} (or ${aligned} in files older than compressed-tensors 0.18)`;
  throw new ShapeError(`${where}: ${words} words for ${count} codes of ${bits} bits, expected ${expected}.`);
}

/**
 * Packs each row of signed codes into a stream of bits, low bits first: a code c becomes c + 2^(bits−1), which starts
 * at bit `column · bits` of its row. No word is shared by two rows; bits left over in a row's last word are 0.
 */
export function packRows(codes: Int8Array, [rows, columns]: readonly number[], bits: number): DataOf<"I32"> {
  const packed = new Int32Array(rows * wordCount(columns, bits));
  packBits(codes, [rows, columns], bits, 2 ** (bits - 1), new Uint8Array(packed.buffer));
  return packed;
}

/** The signed codes of a matrix of this shape, back from the words of {@link packRows} or of the older packing. */
export function unpackRows(
  packed: Int32Array,
  shape: readonly number[],
  bits: number,
  packing: Packing = "dense",
): DataOf<"I8"> {
  if (packing === "aligned") return unpackAligned(packed, shape, bits);
  const codes = new Int8Array(shape[0] * shape[1]);
  const bytes = new Uint8Array(packed.buffer, packed.byteOffset, packed.byteLength);
  unpackBits(bytes, shape, bits, 2 ** (bits - 1), codes);
  return codes;
}

function unpackAligned(packed: Int32Array, [rows, columns]: readonly number[], bits: number): DataOf<"I8"> {
  const [words, perWord] = [wordCount(columns, bits, "aligned"), Math.floor(32 / bits)];
  const [offset, mask] = [2 ** (bits - 1), 2 ** bits - 1];
  const codes = new Int8Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const word = packed[row * words + Math.floor(column / perWord)];
      codes[row * columns + column] = ((word >>> (bits * (column % perWord))) & mask) - offset;
    }
  }
  return codes;
}
