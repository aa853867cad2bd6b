/** Which of many items are taken. */
interface Selection {
  readonly count: number;
  /** Whether they are drawn at random from all items, instead of the first ones in order. */
  readonly shuffle: boolean;
  readonly seed: number;
}

/**
 * `count` items, or all if there are fewer. In order, no more items are read than are taken. Shuffled, they are the first
 * of an inside-out Fisher–Yates shuffle of all items, of which no more than `count` are ever held.
 */
export async function select<T>(items: AsyncIterable<T>, { count, shuffle, seed }: Selection): Promise<T[]> {
  const taken: T[] = [];
  const random = mulberry32(seed);
  let index = 0;
  for await (const item of items) {
    const place = shuffle ? Math.floor(random() * (index + 1)) : index;
    if (index < count && place < index) taken[index] = taken[place];
    if (place < count) taken[place] = item;
    index += 1;
    if (!shuffle && index >= count) break;
  }
  return taken;
}

/** Numbers in [0, 1), the same for the same seed (Tommy Ettinger's Mulberry32). */
export function mulberry32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
