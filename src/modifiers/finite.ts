import { CompressionError } from "../errors.ts";

/** @throws CompressionError naming the module if what was seen of its input is not finite */
export function expectFiniteInput(statistic: Float32Array | Float64Array, path: string): void {
  if (statistic.every(Number.isFinite)) return;
  throw new CompressionError(
    `${path}: its input is not finite on the calibration data, expected finite numbers. Check the weights before it.`,
  );
}
