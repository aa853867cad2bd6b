/** Which half of its heads' rows a parameter is made of: queries, keys, or none of them. */
type Rotated = "queries" | "keys" | null;

/** Whether a parameter's rows are queries or keys that rotation pairs. */
export function rotatedRows(parameter: string): Rotated {
  const [, kind] = /\.self_attn\.([qk])_proj\.(?:weight|bias)$/.exec(parameter) ?? [];
  if (kind === undefined) return null;
  return kind === "q" ? "queries" : "keys";
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

/** The inverse of {@link interleavedOrder}. */
export function halvesOrder(rows: number, heads: number): Uint32Array {
  const order = new Uint32Array(rows);
  for (const [row, from] of interleavedOrder(rows, heads).entries()) order[from] = row;
  return order;
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
