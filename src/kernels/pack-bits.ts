import { copyIn, copyOut, local, PIECE, reserve } from "../wasm/local-memory.ts";

/**
 * Packs rows of codes of one byte into streams of `bits` bits (1 to 8), low bits first; each row begins at a byte.
 *
 * @param offset - added to each code, which is then from 0 to 2^bits − 1
 * @param packed - takes the rows; what a row leaves over at its end, less than 8 bytes, becomes 0
 */
export function packBits(
  codes: Int8Array | Uint8Array,
  [rows, columns]: readonly number[],
  bits: number,
  offset: number,
  packed: Uint8Array,
): void {
  const stride = packed.length / rows;
  const height = Math.max(1, Math.floor(PIECE / columns));
  for (let start = 0; start < rows; start += height) {
    const end = Math.min(start + height, rows);
    const [from, to] = reserve((end - start) * columns, (end - start) * stride);
    copyIn(from, codes.subarray(start * columns, end * columns));
    local.packBits(from, to, end - start, columns, stride, bits, offset);
    copyOut(to, packed.subarray(start * stride, end * stride));
  }
}

/**
 * Reads back the codes of {@link packBits}.
 *
 * @param offset - taken from each code
 * @param codes - takes rows of codes, a byte each
 */
export function unpackBits(
  packed: Uint8Array,
  [rows, columns]: readonly number[],
  bits: number,
  offset: number,
  codes: Int8Array | Uint8Array,
): void {
  const stride = packed.length / rows;
  const height = Math.max(1, Math.floor(PIECE / columns));
  for (let start = 0; start < rows; start += height) {
    const end = Math.min(start + height, rows);
    const [from, to] = reserve((end - start) * stride, (end - start) * columns);
    copyIn(from, packed.subarray(start * stride, end * stride));
    local.unpackBits(from, to, end - start, columns, stride, bits, offset);
    copyOut(to, codes.subarray(start * columns, end * columns));
  }
}
