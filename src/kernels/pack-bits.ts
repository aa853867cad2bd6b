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
  inPieces([codes, columns], [packed, stride], rows, (from, to, count) =>
    local.packBits(from, to, count, columns, stride, bits, offset),
  );
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
  inPieces([packed, stride], [codes, columns], rows, (from, to, count) =>
    local.unpackBits(from, to, count, columns, stride, bits, offset),
  );
}

type Bytes = Int8Array | Uint8Array;

/** Takes as many rows at a time as fit into the kernels' memory; each matrix is given with the bytes of its rows. */
function inPieces(
  [input, inputStride]: readonly [Bytes, number],
  [output, outputStride]: readonly [Bytes, number],
  rows: number,
  run: (from: number, to: number, count: number) => void,
): void {
  const height = Math.max(1, Math.floor(PIECE / Math.max(inputStride, outputStride)));
  for (let start = 0; start < rows; start += height) {
    const end = Math.min(start + height, rows);
    const [from, to] = reserve((end - start) * inputStride, (end - start) * outputStride);
    copyIn(from, input.subarray(start * inputStride, end * inputStride));
    run(from, to, end - start);
    copyOut(to, output.subarray(start * outputStride, end * outputStride));
  }
}
