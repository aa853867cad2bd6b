import { expect, test } from "vitest";
import { DataError } from "../errors.ts";
import { compileChatTemplate } from "./chat-template.ts";

const render = (template: string) => compileChatTemplate(template, { eos_token: "</s>" })([{ role: "user" }]);

test.each([
  ["range(3)", "012"],
  ["range(1, 3)", "12"],
  ["range(5, 0, -2)", "531"],
  ["range(3, 1)", ""],
])("%s counts as Python's", (range, expected) => {
  expect(render(`{% for i in ${range} %}{{ i }}{% endfor %}`)).toBe(expected);
});

test.each(["range(1000000000)", "range(0, 1, 0)"])("%s is refused before it is made", (range) => {
  expect(() => render(`{% for i in ${range} %}{% endfor %}`)).toThrow(DataError);
});

test("a line break at the start of a template stays, and its special tokens are known", () => {
  expect(render("\n{{ eos_token }}")).toBe("\n</s>");
});

test.each([
  ["{{ messages.constructor.constructor('return 1')() }}"],
  ["{{ ''.constructor.constructor('return 1')() }}"],
  ["{{ range.constructor('return 1')() }}"],
])("%s reaches no JavaScript", (template) => {
  expect(() => render(template)).toThrow(DataError);
});

test.each(["{{", "{% if %}", "{{ raise_exception('no') }}", `{{ ${"(".repeat(50_000)} }}`])(
  "a template that cannot be rendered is a DataError (%#)",
  (template) => {
    expect(() => render(template)).toThrow(DataError);
  },
);
