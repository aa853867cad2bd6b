import fc from "fast-check";
import { expect, test } from "vitest";
import { mulberry32, select } from "./select.ts";

async function* upTo(length: number, onRead = (_: number) => {}): AsyncGenerator<number> {
  for (let item = 0; item < length; item++) {
    onRead(item);
    yield item;
  }
}

test("without a shuffle the first items are taken, and no more are read", async () => {
  const read: number[] = [];
  expect(
    await select(
      upTo(100, (item) => read.push(item)),
      { count: 3, shuffle: false, seed: 0 },
    ),
  ).toEqual([0, 1, 2]);
  expect(read).toEqual([0, 1, 2]);
});

test("a shuffle takes distinct items, the same for the same seed", async () => {
  const arguments_ = [fc.nat(40), fc.integer({ min: 1, max: 40 }), fc.integer()] as const;
  await fc.assert(
    fc.asyncProperty(...arguments_, async (length, count, seed) => {
      const taken = await select(upTo(length), { count, shuffle: true, seed });
      expect(taken.length).toBe(Math.min(length, count));
      expect(new Set(taken).size).toBe(taken.length);
      expect(taken.every((item) => item >= 0 && item < length)).toBe(true);
      expect(await select(upTo(length), { count, shuffle: true, seed })).toEqual(taken);
    }),
  );
});

test("every item is as likely as any other to be taken, at every place", async () => {
  const runs = 6000;
  const counts = Array.from({ length: 3 }, () => new Array<number>(6).fill(0));
  for (let seed = 0; seed < runs; seed++) {
    const taken = await select(upTo(6), { count: 3, shuffle: true, seed });
    for (const [place, item] of taken.entries()) counts[place][item] += 1;
  }
  // 1000 each; 6 standard deviations are 173
  for (const count of counts.flat()) expect(Math.abs(count - runs / 6)).toBeLessThan(173);
});

test("the samples that a seed draws stay the same from release to release", async () => {
  expect(await select(upTo(1000), { count: 5, shuffle: true, seed: 0 })).toMatchInlineSnapshot(`
    [
      434,
      418,
      798,
      622,
      82,
    ]
  `);
  expect([1, 2, 3].map(mulberry32(7))).toMatchInlineSnapshot(`
    [
      0.011704753153026104,
      0.06195825757458806,
      0.97690763277933,
    ]
  `);
});
