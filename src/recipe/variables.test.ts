import { describe, expect, test } from "vitest";
import { RecipeError } from "../errors.ts";
import { parseRecipe } from "./parse.ts";
import { parseVariables, type Variables } from "./variables.ts";

const text = "args: {bits: 4, list: [lm_head]}\nAModifier: {x: $bits, y: [$bits, 're:a$', $list], $bits: 1}";

function fieldsOf(recipe: string, variables: Variables = {}): unknown {
  try {
    return parseRecipe(recipe, { name: "r.yaml", variables }).stages[0].modifiers[0].fields;
  } catch (error) {
    return error instanceof RecipeError ? error.message : error;
  }
}

describe("substitution", () => {
  test("a whole value is replaced, whatever its type; keys and parts of texts are not", () => {
    expect(fieldsOf(text)).toEqual({ x: 4, y: [4, "re:a$", ["lm_head"]], $bits: 1 });
  });

  test("a value is not looked into for variables, and an alias of one is its value", () => {
    expect(fieldsOf("args: {a: $a, b: [$a]}\nAModifier: {x: $a, y: &y $b, z: *y}")).toEqual({
      x: "$a",
      y: ["$a"],
      z: ["$a"],
    });
  });

  test("given values win over args, and need no args", () => {
    expect(fieldsOf(text, { bits: 8 })).toMatchObject({ x: 8 });
    expect(fieldsOf("AModifier: {x: $y}", { y: null })).toEqual({ x: null });
  });

  test("variables and aliases of them that multiply are refused before they are written out", () => {
    const list = `[${"x,".repeat(1000)}]`;
    const many = (one: string) => `[${`${one},`.repeat(1000)}]`;
    expect(fieldsOf(`args: {b: ${list}}\nAModifier: {x: ${many("$b")}}`)).toBe(
      "r.yaml: 100100 values with every alias written out, expected at most 100000. Shorten it.",
    );
    expect(fieldsOf(`args: {b: ${list}}\nAModifier: {x: &x $b, y: ${many("*x")}}`)).toMatch(
      /^r\.yaml: \d+ values with every alias written out, expected at most 100000\. Shorten it\.$/,
    );
  });

  test("an unknown variable, and a given one that is not used, are named", () => {
    expect(fieldsOf("args: {bits: 4}\nAModifier:\n  x: $bit")).toBe(
      "r.yaml:3:6: variable $bit is not defined, expected one of $bits. Add it to args.",
    );
    expect(fieldsOf("AModifier: {x: $bit}")).toBe(
      "r.yaml:1:16: variable $bit is not defined, none is. Add it to args.",
    );
    expect(fieldsOf(text, { bit: 3 })).toBe(
      "r.yaml: variable bit is given, but $bit is nowhere in it. Check the name.",
    );
  });
});

test("assignments are read as YAML values", () => {
  expect(parseVariables(["a=4", "b=x=y", "c=[1, null]", "d="])).toEqual({ a: 4, b: "x=y", c: [1, null], d: null });
  for (const assignment of ["a", "1a=2", "=3", "a=["]) {
    expect(() => parseVariables([assignment])).toThrow(
      new RecipeError(`variable "${assignment}": not an assignment, expected name=value.`),
    );
  }
});
