import type { Architecture } from "./architectures.ts";

/** How many heads queries have, and keys. */
export type Heads = Readonly<Record<"queries" | "keys", number>>;

/** A parameter whose rows lie in another order in a file than the model has them in. */
export interface Reordering {
  /** Whose heads the rows are of. */
  readonly heads: keyof Heads;
  /** Parts of equal size that the rows of a head are made of. */
  readonly parts: number;
  /** Row i of the file is row `order[i]` of the model. */
  order(rows: number, heads: number): Uint32Array;
}

/** How a parameter's rows are reordered; undefined where they lie as the model has them. */
export function reorderingOf(architecture: Architecture, parameter: string): Reordering | undefined {
  const [, kind] = /\.self_attn\.([qk])_proj\.(?:weight|bias)$/.exec(parameter) ?? [];
  if (architecture.interleavesRotation && kind)
    return { heads: kind === "q" ? "queries" : "keys", parts: 2, order: interleavedOrder };
  if (architecture.groupsFusedRows && /\.query_key_value\.(?:weight|bias)$/.test(parameter))
    return { heads: "queries", parts: 3, order: groupedOrder };
  return undefined;
}

/**
 * The rows of `heads` heads in the order in which rotation pairs neighbours, from the one in which it pairs the two halves of a
 * head: row i of the result is row `order[i]`.
 */
export function interleavedOrder(rows: number, heads: number): Uint32Array {
  const size = rows / heads;
  return Uint32Array.from({ length: rows }, (_, row) => {
    const [head, place] = [Math.floor(row / size), row % size];
    return head * size + (place % 2) * (size / 2) + Math.floor(place / 2);
  });
}

/** All queries, then all keys, then all values, from rows that have these of each of `heads` heads side by side. */
export function groupedOrder(rows: number, heads: number): Uint32Array {
  const size = rows / heads / 3;
  return Uint32Array.from({ length: rows }, (_, row) => {
    const [part, head] = [Math.floor(row / size / heads), Math.floor(row / size) % heads];
    return (3 * head + part) * size + (row % size);
  });
}

/** The order that undoes another. */
export function inverseOrder(order: Uint32Array): Uint32Array {
  const inverse = new Uint32Array(order.length);
  for (const [row, from] of order.entries()) inverse[from] = row;
  return inverse;
}

/** Rows in another order; each takes `width` elements of `data`. */
export function reorderRows<Data extends Float32Array | Int8Array | Uint8Array>(
  data: Data,
  width: number,
  order: Uint32Array,
): Data {
  const result = data.slice() as Data;
  for (const [row, from] of order.entries()) result.set(data.subarray(from * width, (from + 1) * width), row * width);
  return result;
}
