import type { EncodedTensor } from "./encode-tensor.ts";

/** Sums up what calibrated scales and offsets lost on their way into a file. */
export class Losses {
  #scales = { rounded: 0, largest: 0 };
  #minima = { rounded: 0, largest: 0 };
  /** Weights whose scales are stored in fewer bits, and what that cost the one that lost the most. */
  #narrowed = { weights: 0, lowest: Number.POSITIVE_INFINITY, path: "" };

  /** @param path - of the tensor's parameter */
  add(path: string, { scales, minima, signalToNoise = Number.POSITIVE_INFINITY }: EncodedTensor): void {
    for (const [sum, part] of [
      [this.#scales, scales],
      [this.#minima, minima],
    ] as const) {
      sum.rounded += part?.rounded ?? 0;
      sum.largest = Math.max(sum.largest, part?.largest ?? 0);
    }
    if (signalToNoise === Number.POSITIVE_INFINITY) return;
    this.#narrowed.weights++;
    if (signalToNoise < this.#narrowed.lowest)
      this.#narrowed = { ...this.#narrowed, lowest: signalToNoise, path: path.replace(/\.weight$/, "") };
  }

  /** What deserves a look. */
  *messages(name: string): Generator<string> {
    const { rounded, largest } = this.#scales;
    if (rounded > 0) {
      const most = `${(100 * largest).toPrecision(2)} %`;
      yield `${name}: ${rounded} calibrated scales are no float16 numbers and were rounded, by ${most} at the most. Save the checkpoint with precision BF16 or F16.`;
    }
    if (this.#minima.rounded > 0) {
      const most = this.#minima.largest.toPrecision(2);
      yield `${name}: ${this.#minima.rounded} offsets of blocks were rounded to float16, by ${most} of a step at the most. Symmetric weights (Q4_0) have none.`;
    }
    const { weights, lowest, path } = this.#narrowed;
    if (weights > 0) {
      const least = `${lowest.toFixed(1)} dB below ${path}, where it is the largest`;
      yield `${name}: calibrated scales of ${weights} weights are stored in fewer bits, and their weights changed by an error ${least}. Q4_1 and Q8_0 keep them.`;
    }
  }
}
