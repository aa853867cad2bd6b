import fc from "fast-check";
import { expect, test } from "vitest";
import { findDuplicateName } from "./duplicate-name.ts";

test.each([
  ["{}", undefined],
  ['{"a": 1, "b": 2}', undefined],
  ['{"a": 1, "a": 2}', "a"],
  ['{"a": 1, "\\u0061": 2}', "a"],
  ['{"a": {"a": 1}, "b": {"a": 1}}', undefined],
  ['{"a": {"b": 1, "b": 2}}', "a.b"],
  ['{"a": [1, {"b": 1, "b": 2}]}', "a..b"],
  ['{"a": "a\\":", "b": ["a", "a"]}', undefined],
  ['{"__proto__": 1, "__proto__": 2}', "__proto__"],
  ['{"\\\\": 1, "\\\\": 2}', "\\"],
  ['{"": 1, "": 2}', ""],
])("of %s, the name that is there twice is %j", (text, expected) => {
  expect(findDuplicateName(text)).toBe(expected);
});

test("what JSON.stringify prints has no name twice", () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      expect(findDuplicateName(text)).toBeUndefined();
    }),
  );
});

test("a member that is repeated is found wherever it stands", () => {
  const objects = fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue(), { minKeys: 1 });
  fc.assert(
    fc.property(objects, fc.nat(), (object, seed) => {
      const members = Object.entries(object).map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
      const repeated = members[seed % members.length];
      const [name] = Object.entries(object)[seed % members.length];
      expect(findDuplicateName(`{${[...members, repeated].join()}}`)).toBe(name);
    }),
  );
});
