import fc from "fast-check";
import { expect, test } from "vitest";
import { mergesOfScores, scoresOfMerges } from "./sentence-piece.ts";

const none: ReadonlySet<string> = new Set();

test("a token is merged of all its cuts, the best token first", () => {
  const scores = new Map([
    ["a", 0],
    ["b", 0],
    ["ab", -1],
    ["ba", -2],
    ["aba", -3],
  ]);
  expect(mergesOfScores(scores)).toEqual(["a b", "b a", "ab a", "a ba"]);
});

test("scores that become merges come back in the same order", () => {
  const tokens = fc.uniqueArray(fc.string({ unit: fc.constantFrom("a", "b", "▁", "😀"), minLength: 2, maxLength: 6 }));
  fc.assert(
    fc.property(tokens, (tokens) => {
      const merges = mergesOfScores(new Map(tokens.map((token, rank) => [token, -rank])));
      const made = new Set(merges.map((merge) => merge.replace(" ", "")));
      const expected = tokens.filter((token) => made.has(token));
      expect([...(scoresOfMerges(new Set(tokens), merges, none) ?? [])]).toEqual(
        expected.map((token, rank) => [token, -rank]),
      );
    }),
  );
});

test.each([
  ["lacks a cut", ["a b", "ab a"]],
  ["comes back to a token", ["a b", "ab a", "b a", "a ba"]],
])("a list that %s has no scores", (_, merges) => {
  expect(scoresOfMerges(new Set(["a", "b", "ab", "ba", "aba"]), merges, none)).toBeUndefined();
});

test("tokens that are looked for first need no scores, but runs of spaces must be merged first", () => {
  const vocab = new Set(["▁", "▁▁", "\n\n", "a", "▁a"]);
  const added = new Set(["▁▁", "\n\n"]);
  expect(scoresOfMerges(vocab, ["▁ ▁", "▁ a", "\n \n"], added)).toEqual(new Map([["▁a", -0]]));
  expect(scoresOfMerges(vocab, ["▁ a", "▁ ▁"], added)).toBeUndefined();
});
