const [SIZE, SHIFT] = [624, 397];
/** What PyTorch seeds a generator with that nobody has seeded. */
const DEFAULT_SEED = 67280421310721n;

/** Mersenne Twister (MT19937), the generator of `torch.Generator()` on the CPU: the same seed gives the same bits. */
export class MersenneTwister {
  readonly #state = new Uint32Array(SIZE);
  #next = SIZE;

  /** @param seed - of which 32 bits count */
  constructor(seed: bigint = DEFAULT_SEED) {
    const state = this.#state;
    state[0] = Number(BigInt.asUintN(32, seed));
    for (let i = 1; i < SIZE; i++) state[i] = Math.imul(1812433253, state[i - 1] ^ (state[i - 1] >>> 30)) + i;
  }

  /** 32 random bits, as an unsigned number. */
  next(): number {
    if (this.#next === SIZE) this.#twist();
    let bits = this.#state[this.#next++];
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    return (bits ^ (bits >>> 18)) >>> 0;
  }

  /** Random signs, as `torch.randint(0, 2, (count,)) * 2 - 1` gives them. */
  signs(count: number): Float64Array {
    return Float64Array.from({ length: count }, () => (this.next() & 1 ? 1 : -1));
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < SIZE; i++) {
      const joined = (state[i] & 0x80000000) | (state[(i + 1) % SIZE] & 0x7fffffff);
      state[i] = state[(i + SHIFT) % SIZE] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}
