import { copyIn, copyOut, local, PIECE, reserve, type Values } from "./local-memory.ts";

/** An array that can be cut. */
interface Elements extends Values {
  readonly BYTES_PER_ELEMENT: number;
  subarray(start: number, end: number): Values;
}

/** Runs a kernel `(from, to, count)` over all elements of one array, of which each gives one of the other. */
export function mapElements(kernel: string, source: Elements, target: Elements): void {
  const [from, to] = reserve(PIECE * source.BYTES_PER_ELEMENT, PIECE * target.BYTES_PER_ELEMENT);
  for (let start = 0; start < source.length; start += PIECE) {
    const end = Math.min(start + PIECE, source.length);
    copyIn(from, source.subarray(start, end));
    local[kernel](from, to, end - start);
    copyOut(to, target.subarray(start, end));
  }
}
