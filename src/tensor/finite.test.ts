import { expect, test } from "vitest";
import { findNonFinite } from "./finite.ts";

test("the first value that is NaN or infinite is found, in a view too", () => {
  expect(findNonFinite(Float32Array.of(1, -0, 2 ** -149, 3.4028234663852886e38, Number.NaN, 1 / 0))).toBe(4);
  expect(findNonFinite(Float32Array.of(Number.NaN, 1, Number.NEGATIVE_INFINITY).subarray(1))).toBe(1);
  expect(findNonFinite(Float32Array.of(0, -3.4028234663852886e38))).toBe(-1);
  expect(findNonFinite(new Float32Array(0))).toBe(-1);
});
