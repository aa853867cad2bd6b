import { ShapeError } from "../errors.ts";
import { type Dim, formatType, type TensorType } from "../fx/types.ts";

/** Shape of an elementwise result: dimensions are equal from the right, or 1. */
export function broadcast(op: string, a: TensorType, b: TensorType): TensorType {
  if (b.dtype !== a.dtype) throw mismatch(op, b, `${a.dtype}, as its other input`);
  const rank = Math.max(a.shape.length, b.shape.length);
  const shape = Array.from({ length: rank }, (_, index): Dim => {
    const [left, right] = [a.shape.at(index - rank) ?? 1, b.shape.at(index - rank) ?? 1];
    if (left !== right && left !== 1 && right !== 1)
      throw mismatch(op, a, `shapes that broadcast with ${formatType(b)}`);
    return left === 1 ? right : left;
  });
  return { dtype: a.dtype, shape };
}

/** Columns of one head of x [batch, seq, heads · columns]. */
export function headSize(op: string, x: TensorType, heads: number): number {
  const columns = x.shape[2];
  if (x.shape.length !== 3 || typeof columns !== "number" || columns % heads !== 0)
    throw mismatch(op, x, `shape [batch, seq, columns] with equally many columns for each of ${heads} heads`);
  return columns / heads;
}

/** Throws unless `tokens` has one value for each token: shape [batch, seq]. */
export function checkTokens(op: string, tokens: TensorType): void {
  if (tokens.dtype !== "I64" || tokens.shape.length !== 2) throw mismatch(op, tokens, "I64[batch,seq]");
}

/** The error of an operator that got `found`. */
export function mismatch(op: string, found: TensorType, expected: string): ShapeError {
  return new ShapeError(`${op}: input ${formatType(found)}, expected ${expected}.`);
}
