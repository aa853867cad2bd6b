import { ShapeError } from "../errors.ts";
import { type Dim, formatType, type TensorType } from "../fx/types.ts";

/** Shape of an elementwise result: dimensions are equal from the right, or 1. */
export function broadcast(op: string, a: TensorType, b: TensorType): TensorType {
  const rank = Math.max(a.shape.length, b.shape.length);
  const shape = Array.from({ length: rank }, (_, index): Dim => {
    const [left, right] = [a.shape.at(index - rank) ?? 1, b.shape.at(index - rank) ?? 1];
    if (left !== right && left !== 1 && right !== 1)
      throw mismatch(op, a, `shapes that broadcast with ${formatType(b)}`);
    return left === 1 ? right : left;
  });
  return { dtype: a.dtype, shape };
}

/** The error of an operator that got `found`. */
export function mismatch(op: string, found: TensorType, expected: string): ShapeError {
  return new ShapeError(`${op}: input ${formatType(found)}, expected ${expected}.`);
}
