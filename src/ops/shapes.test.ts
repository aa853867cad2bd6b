import { expect, test } from "vitest";
import { ShapeError } from "../errors.ts";
import { f32, formatType, i64, type TensorType } from "../fx/types.ts";
import { broadcast, checkTokens, headSize } from "./shapes.ts";

test.each<[a: TensorType, b: TensorType, result: string]>([
  [f32(2, 3), f32(2, 3), "F32[2,3]"],
  [f32(2, 3), f32(3), "F32[2,3]"],
  [f32(3), f32(2, 3), "F32[2,3]"],
  [f32(2, 1), f32(1, 3), "F32[2,3]"],
  [f32(), f32(4), "F32[4]"],
  [f32(1, "seq"), f32("batch", 1), "F32[batch,seq]"],
  [i64("batch", "seq"), i64(1), "I64[batch,seq]"],
])("shapes broadcast from the right: case %#", (a, b, result) => {
  expect(formatType(broadcast("add", a, b))).toBe(result);
});

test.each<[a: TensorType, b: TensorType, message: string]>([
  [f32(2, 3), f32(4), "add: input F32[2,3], expected shapes that broadcast with F32[4]."],
  [f32("seq", 3), f32("batch", 3), "add: input F32[seq,3], expected shapes that broadcast with F32[batch,3]."],
  [f32("seq"), f32(5), "add: input F32[seq], expected shapes that broadcast with F32[5]."],
  [f32(2), i64(2), "add: input I64[2], expected F32, as its other input."],
])("shapes and dtypes that do not broadcast are an error: case %#", (a, b, message) => {
  expect(() => broadcast("add", a, b)).toThrow(new ShapeError(message));
});

test("heads share the columns equally", () => {
  expect(headSize("rotate", f32("batch", "seq", 16), 4)).toBe(4);
});

test.each<[x: TensorType, message: string]>([
  [
    f32("batch", "seq", 10),
    "rotate: input F32[batch,seq,10], expected shape [batch, seq, columns] with equally many columns for each of 4 heads.",
  ],
  [
    f32("seq", 16),
    "rotate: input F32[seq,16], expected shape [batch, seq, columns] with equally many columns for each of 4 heads.",
  ],
  [
    f32("batch", "seq", "width"),
    "rotate: input F32[batch,seq,width], expected shape [batch, seq, columns] with equally many columns for each of 4 heads.",
  ],
])("columns that heads cannot share are an error: case %#", (x, message) => {
  expect(() => headSize("rotate", x, 4)).toThrow(new ShapeError(message));
});

test("tokens are I64[batch, seq]", () => {
  expect(() => checkTokens("ones_like", i64("batch", "seq"))).not.toThrow();
  expect(() => checkTokens("ones_like", i64("seq"))).toThrow(
    new ShapeError("ones_like: input I64[seq], expected I64[batch,seq]."),
  );
  expect(() => checkTokens("ones_like", f32(2, 3))).toThrow(
    new ShapeError("ones_like: input F32[2,3], expected I64[batch,seq]."),
  );
});
