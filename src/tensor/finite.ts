import { copyIn, local, PIECE, reserve } from "../wasm/local-memory.ts";

/** Index of the first value that is NaN or infinite; −1 if there is none. */
export function findNonFinite(values: Float32Array): number {
  const [place] = reserve(4 * PIECE);
  for (let start = 0; start < values.length; start += PIECE) {
    const piece = values.subarray(start, start + PIECE);
    copyIn(place, piece);
    const found = local.findNonFinite(place, piece.length);
    if (found < piece.length) return start + found;
  }
  return -1;
}
