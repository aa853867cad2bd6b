/** 10 log₁₀ of a ratio of energies. */
export function decibels(ratio: number): number {
  return 10 * Math.log10(ratio);
}

/** How near values are to others, over all that are added. */
export class Comparison {
  #signal = 0;
  #noise = 0;
  #found = 0;
  #product = 0;

  /** Takes values and, in the same order, what they should be. Where both are the same, be it infinite, nothing is added. */
  add(found: Float32Array, expected: Float32Array): void {
    let [signal, noise, energy, product] = [0, 0, 0, 0];
    for (let i = 0; i < expected.length; i++) {
      const [x, y] = [expected[i], found[i]];
      if (x === y && !Number.isFinite(x)) continue;
      const difference = y - x;
      signal += x * x;
      noise += difference * difference;
      energy += y * y;
      product += x * y;
    }
    this.#signal += signal;
    this.#noise += noise;
    this.#found += energy;
    this.#product += product;
  }

  /** Energy of the expected values over that of the differences, in dB; infinite where there are none. */
  get signalToNoise(): number {
    return this.#noise === 0 ? Number.POSITIVE_INFINITY : decibels(this.#signal / this.#noise);
  }

  /** Cosine of the angle between the values and the expected ones; 1 where both are zero, 0 where one of them is. */
  get cosine(): number {
    if (this.#signal === 0 || this.#found === 0) return Number(this.#signal === this.#found);
    return this.#product / Math.sqrt(this.#signal * this.#found);
  }
}
