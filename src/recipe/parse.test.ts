import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RecipeError } from "../errors.ts";
import { type ParseOptions, parseRecipe } from "./parse.ts";

/** A recipe's modifiers as plain values, or the message that refuses it. */
function parse(text: string, options: ParseOptions = { name: "r.yaml" }): unknown {
  try {
    return parseRecipe(text, options).stages.flatMap(({ modifiers }) =>
      modifiers.map(({ stage, group, className, fields }) => [stage, group, className, fields]),
    );
  } catch (error) {
    return error instanceof RecipeError ? error.message : error;
  }
}

describe("grammar", () => {
  test("stages over groups over modifiers, in the order of the text", () => {
    const text = `
version: 1.1
first_stage:
  run_type: oneshot
  smooth_modifiers:
    A: {x: 1}
    B:
  quant_modifiers:
    A: {x: null}
second_stage:
  quant_modifiers:
    - C: {y: [a, 2:4]}
    - D
`;
    expect(parse(text)).toEqual([
      ["first", "smooth", "A", { x: 1 }],
      ["first", "smooth", "B", {}],
      ["first", "quant", "A", { x: null }],
      ["second", "quant", "C", { y: ["a", "2:4"] }],
      ["second", "quant", "D", {}],
    ]);
  });

  test("modifiers alone, as a mapping or a list, are one stage", () => {
    expect(parse("args: {n: 3}\nAModifier: {x: $n}\nBModifier:")).toEqual([
      ["default", "default", "AModifier", { x: 3 }],
      ["default", "default", "BModifier", {}],
    ]);
    expect(parse("- AModifier: {x: 1}\n- AModifier")).toEqual([
      ["default", "default", "AModifier", { x: 1 }],
      ["default", "default", "AModifier", {}],
    ]);
  });

  test("JSON is a recipe too", () => {
    const text = '{\n\t"q_stage": {\n\t\t"q_modifiers": {"A": {"x": true}}\n\t}\n}';
    expect(parse(text)).toEqual([["q", "q", "A", { x: true }]]);
  });

  test("aliases and merge keys are resolved", () => {
    const text = "a_stage:\n  m_modifiers:\n    A: &a {x: 1}\n    B: {<<: *a, y: 2}\n    C: *a";
    expect(parse(text)).toEqual([
      ["a", "m", "A", { x: 1 }],
      ["a", "m", "B", { x: 1, y: 2 }],
      ["a", "m", "C", { x: 1 }],
    ]);
  });

  test("a stage is chosen by how its key starts", () => {
    const text = "one_stage: {m_modifiers: {A: }}\ntwo_stage: {m_modifiers: {B: }}";
    expect(parse(text, { stage: "two" })).toEqual([["two", "m", "B", {}]]);
    expect(parse(text, { stage: "three" })).toBe('recipe: no stage starts with "three", expected one of one, two.');
  });
});

describe("what is no recipe is refused with its line and column", () => {
  test.each([
    [
      "quant_modifiers:\n  GPTQModifier: {}",
      'r.yaml:1:1: keys "quant_modifiers", expected one that ends in _stage, or modifiers such as GPTQModifier.',
    ],
    ["text", "r.yaml:1:1: no keys, expected one that ends in _stage, or modifiers such as GPTQModifier."],
    ["", "r.yaml: no keys, expected one that ends in _stage, or modifiers such as GPTQModifier."],
    ["q_stage:\n  - A", "r.yaml:1:1: q_stage is no mapping, expected one of *_modifiers keys."],
    ["q_stage:\n  m_modifiers: 3", "r.yaml:2:16: no modifiers, expected a mapping of fields by class name."],
    [
      "q_stage:\n  m_modifiers: {A: }\nq_stge:\n  m_modifiers: {A: }",
      'r.yaml:3:1: "q_stge" holds modifiers, expected a key that ends in _stage. Rename it.',
    ],
    [
      "q_stage:\n  GPTQModifier: {}",
      'r.yaml:2:3: "GPTQModifier" holds modifiers, expected a key that ends in _modifiers. Rename it.',
    ],
    ["a: {b: 1", "r.yaml:1:9: Flow map in block collection must be sufficiently indented and end with a }."],
    ["a: 1\na: 2", "r.yaml:2:1: Map keys must be unique."],
    ["AModifier:\n  x: !!python/object [static]", "r.yaml:2:6: Unresolved tag: tag:yaml.org,2002:python/object."],
    ["AModifier: &a\n  x: *a", "r.yaml:2:6: *a lies within itself, expected an end."],
    [
      "AModifier:\n  __proto__: {x: 1}",
      "r.yaml:2:3: a key __proto__, which JavaScript reserves, expected another. Rename it.",
    ],
    ["AModifier: *b", "r.yaml:1:12: no &b before it, expected one."],
  ])("%j", (text, message) => {
    expect(parse(text)).toBe(message);
  });

  test("aliases that multiply, nesting without end and texts without end", () => {
    const level = (name: string, of: string) => `${name}: &${name} [${new Array(10).fill(`*${of}`)}]\n`;
    const bomb = `a: &a [x]\n${level("b", "a")}${level("c", "b")}${level("d", "c")}AModifier: {x: *d}`;
    expect(parse(bomb)).toBe(
      "r.yaml: Excessive alias count indicates a resource exhaustion attack, expected a recipe.",
    );
    const wide = `a: &a [x]\n${["b", "c", "d", "e", "f"].map((name, i) => level(name, "abcde"[i])).join("")}`;
    expect(parse(`${wide}q_stage: {q_modifiers: *f}`)).toBe(
      "r.yaml: 445680 values with every alias written out, expected at most 100000. Shorten it.",
    );
    expect(parse("[".repeat(50_000))).toMatch(/^r\.yaml:.* call stack/);
    expect(parse("#".repeat(1_000_001))).toBe("r.yaml: 1000001 characters, expected at most 1000000.");
  });
});

test("a field is located by line and column, a missing one by the last on the way to it", () => {
  const text = "q_stage:\n  m_modifiers:\n    A:\n      list: [a,\n        {x: 1}]\n";
  const [{ locate }] = parseRecipe(text, { name: "r.yaml" }).stages[0].modifiers;
  expect(locate()).toBe("r.yaml:3:5");
  expect(locate(["list"])).toBe("r.yaml:4:7");
  expect(locate(["list", 1])).toBe("r.yaml:5:9");
  expect(locate(["list", 1, "x"])).toBe("r.yaml:5:10");
  expect(locate(["list", 1, "missing", "deeper"])).toBe("r.yaml:5:9");
});

test("whatever the text, parsing it ends in a recipe or in a RecipeError", () => {
  const word = fc.constantFrom(
    ..."q_stage: |m_modifiers: |GPTQModifier:|args: |\n|  |- |{|}|[|]|&a |*a|<<: |$x|!!int |? |---\n|'|\"|# |null|1e9|\t".split(
      "|",
    ),
  );
  const text = fc.oneof(
    fc.string({ unit: "binary" }),
    fc.json(),
    fc.array(word, { maxLength: 30 }).map((all) => all.join("")),
  );
  fc.assert(
    fc.property(text, (anything) => {
      const outcome = parse(anything);
      expect(Array.isArray(outcome) || typeof outcome === "string").toBe(true);
    }),
    { numRuns: 2000 },
  );
});
