import { ShapeError } from "../errors.ts";
import { packBits } from "../kernels/pack-bits.ts";
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
  [rows, columns]: readonly number[],
  bits: number,
  packing: Packing = "dense",
): DataOf<"I8"> {
  const words = wordCount(columns, bits, packing);
  const codes = new Int8Array(rows * columns);
  const [offset, mask, fullAt] = [2 ** (bits - 1), 2 ** bits - 1, packing === "dense" ? 32 : 33 - bits];
  for (let row = 0; row < rows; row++) {
    let [word, shift] = [row * words, 0];
    for (let i = row * columns; i < (row + 1) * columns; i++) {
      let code = packed[word] >>> shift;
      if (shift + bits > 32) code |= packed[word + 1] << (32 - shift);
      codes[i] = (code & mask) - offset;
      shift += bits;
      if (shift < fullAt) continue;
      shift = packing === "dense" ? shift - 32 : 0;
      word++;
    }
  }
  return codes;
}
