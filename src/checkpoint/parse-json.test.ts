import fc from "fast-check";
import { expect, test } from "vitest";
import { parseJson } from "./parse-json.ts";

const parse = (text: string) => parseJson(new TextEncoder().encode(text));

test("what JSON.stringify prints is parsed to the same value, brackets in strings or not", () => {
  const values = fc.jsonValue({ maxDepth: 8, stringUnit: fc.constantFrom("[", "{", '"', "\\", "a") });
  fc.assert(
    fc.property(values, (value) => {
      expect(JSON.stringify(parse(JSON.stringify(value)))).toBe(JSON.stringify(value));
    }),
  );
});

test("a hundred levels of nesting are parsed, one more is a RangeError", () => {
  const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
  expect(parse(nested(100))).toEqual(JSON.parse(nested(100)));
  expect(() => parse(nested(101))).toThrow(new RangeError("nested deeper than 100 levels"));
  expect(() => parse("[".repeat(1_000_000))).toThrow(RangeError);
});

test("bytes that are not UTF-8, and a text that is not JSON, are SyntaxErrors", () => {
  expect(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22))).toThrow(new SyntaxError("not UTF-8"));
  expect(() => parse("{")).toThrow(SyntaxError);
});
