import fc from "fast-check";
import { expect, test } from "vitest";
import { powerSum } from "./power-sum.ts";

/** Errors of a run whose codes are about a step of 1 apart, some of them clamped far off. */
const runs = fc.array(fc.float({ min: -8, max: 8, noNaN: true }), { minLength: 64, maxLength: 128 });

test.each([2, 2.4, 3])("the sum of powers of %d is that of Math.pow", (norm) => {
  fc.assert(
    fc.property(runs, (errors) => {
      const [x, rounded] = [new Float32Array(errors.length), Float32Array.from(errors)];
      const exact = rounded.reduce((sum, error) => sum + Math.abs(error) ** norm, 0);
      expect(Math.abs(powerSum(norm, "F32")(x, rounded, 1) - exact)).toBeLessThanOrEqual(1e-6 * exact + 1e-6);
    }),
  );
});

test("columns count by their importance", () => {
  const sum = powerSum(2, "F32")(new Float32Array(2), Float32Array.of(1, 2), 1, Float32Array.of(3, 0.5));
  expect(sum).toBeCloseTo(3 * 1 + 0.5 * 4, 5);
});

test("errors are rounded to the dtype they are computed in", () => {
  const sum = powerSum(2, "BF16")(new Float32Array(1), Float32Array.of(1.01), 1);
  expect(sum).toBe(1.015625); // 1.0078125², rounded to BF16
});
