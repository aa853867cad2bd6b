import { expect, test } from "vitest";
import { printable } from "./text.ts";

test("control characters are spelled out, line breaks, tabs and letters stay", () => {
  expect(printable("a\x1b]0;x\x07\r\n\tå\u{9b}2J😀")).toBe("a\\x1b]0;x\\x07\\x0d\n\tå\\x9b2J😀");
});
