import { inspect } from "node:util";
import type { z } from "zod";

type RawIssue = Parameters<z.core.$ZodErrorMap>[0];

/** Parses so that what does not fit is told in our words. */
export function safeParse<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): z.ZodSafeParseResult<z.output<Schema>> {
  return schema.safeParse(value, { error: describeIssue, reportInput: true });
}

/** Words for zod's names of types. */
const WORDS: Readonly<Record<string, string>> = {
  string: "a text",
  number: "a number",
  int: "an integer",
  boolean: "true or false",
  array: "a list",
  object: "a mapping",
  record: "a mapping",
  null: "null",
};

/** What a value is and what it should be; for schemas that do not say it themselves. */
function describeIssue(issue: RawIssue): string {
  if (issue.code === "unrecognized_keys") return `unknown key ${issue.keys.map(show).join(", ")}, expected known ones`;
  const found = issue.input === undefined ? "missing" : `found ${show(issue.input)}`;
  return `${found}, expected ${expectation(issue)}`;
}

function expectation(issue: RawIssue): string {
  switch (issue.code) {
    case "invalid_type":
      return WORDS[issue.expected] ?? issue.expected;
    case "invalid_value":
      return `${issue.values.length > 1 ? "one of " : ""}${issue.values.map((value) => JSON.stringify(value)).join(", ")}`;
    case "too_small":
      return `${issue.inclusive ? "at least" : "more than"} ${issue.minimum}`;
    case "too_big":
      return `${issue.inclusive ? "at most" : "less than"} ${issue.maximum}`;
    default:
      return "something else";
  }
}

/** Characters of a value that are shown. */
const LONGEST = 60;

/** A value, in one line that is not long. */
export function show(value: unknown): string {
  const text =
    typeof value === "string"
      ? JSON.stringify(value.slice(0, LONGEST + 1))
      : inspect(value, { depth: 1, breakLength: Infinity });
  return text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;
}
