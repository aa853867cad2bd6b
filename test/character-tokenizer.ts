import type { Tokenizer } from "../src/data/tokenizer.ts";

/** A tokenizer whose tokens are characters: ids are their code points, 1 comes before a text, 0 pads. */
export function characterTokenizer(overrides: Partial<Tokenizer> = {}): Tokenizer {
  return {
    encode: (text, { addSpecialTokens }) => [
      ...(addSpecialTokens ? [1] : []),
      ...Array.from(text, (character) => character.codePointAt(0) ?? 0),
    ],
    padTokenId: 0,
    eosTokenId: 2,
    paddingSide: "right",
    modelMaxLength: Number.POSITIVE_INFINITY,
    ...overrides,
  };
}
