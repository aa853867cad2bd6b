import fc from "fast-check";
import { expect, test } from "vitest";
import { parseFloats, stringifyFloats } from "./float-spelling.ts";

test("numbers keep the point that they were spelt with", () => {
  const text =
    '{\n  "cap": 30.0,\n  "eps": 1e-5,\n  "heads": [\n    4,\n    -2.00,\n    0.5\n  ],\n  "name": "v1.0, \\"2.0\\""\n}';
  expect(stringifyFloats(parseFloats(text))).toBe(text.replace("1e-5", "0.00001"));
});

test("a number in exponents is left to JSON", () => {
  expect(parseFloats("[1.0e3, 10.05]")).toEqual([1000, 10.05]);
});

test("any JSON says the same after a round trip", () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.integer(), (value, number) => {
      const text = `[${JSON.stringify(value)}, ${number}.0]`;
      const written = stringifyFloats(parseFloats(text));
      expect(JSON.parse(written)).toEqual(JSON.parse(text));
      expect(written).toContain(`${number}.0`);
    }),
  );
});
