import { expect } from "vitest";

/** Tolerances of {@link CustomMatchers.toBeAllClose}: values differ by at most `atol + rtol · |expected|`. */
interface Tolerance {
  atol?: number;
  rtol?: number;
}

interface HasData {
  shape: readonly number[];
  data: ArrayLike<number | bigint>;
}

interface CustomMatchers<R> {
  /** Compares shapes exactly and values within a tolerance; NaN never equals anything. */
  toBeAllClose(expected: HasData, tolerance?: Tolerance): R;
}

declare module "vitest" {
  interface Assertion<T> extends CustomMatchers<T> {}
}

expect.extend({
  toBeAllClose(received: HasData, expected: HasData, { atol = 1e-6, rtol = 0 }: Tolerance = {}) {
    if (String(received.shape) !== String(expected.shape)) {
      return { pass: false, message: () => `shape [${received.shape}], expected [${expected.shape}]` };
    }
    let worst = { index: -1, excess: Number.NEGATIVE_INFINITY };
    for (let index = 0; index < expected.data.length; index++) {
      const [found, wanted] = [Number(received.data[index]), Number(expected.data[index])];
      const excess =
        found === wanted ? Number.NEGATIVE_INFINITY : Math.abs(found - wanted) - (atol + rtol * Math.abs(wanted));
      if (!(excess <= worst.excess))
        worst = { index, excess: Number.isNaN(excess) ? Number.POSITIVE_INFINITY : excess };
    }
    const { index, excess } = worst;
    return {
      pass: !(excess > 0),
      message: () =>
        `element ${index}: ${received.data[index]}, expected ${expected.data[index]} within ${atol} + ${rtol}·|expected|`,
    };
  },
});
