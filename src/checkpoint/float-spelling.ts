/** What no string of a JSON file begins with. */
const MARK = "\u0000";

/** A string, or a number with no digits but zeros after its point. */
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+\.0+(?![\deE])/g;

/**
 * Parses JSON so that {@link stringifyFloats} can write its numbers as they are spelt here: 30.0 becomes a string with a mark.
 * To JavaScript 30.0 is 30; readers in Python tell the two apart, and refuse an integer where they expect a float.
 */
export function parseFloats(text: string): unknown {
  return JSON.parse(text.replace(TOKEN, (token) => (token.startsWith('"') ? token : JSON.stringify(MARK + token))));
}

/** Indented JSON of a value in which {@link parseFloats} has marked numbers. */
export function stringifyFloats(value: unknown): string {
  const mark = JSON.stringify(MARK).slice(1, -1).replace("\\", "\\\\");
  return JSON.stringify(value, null, 2).replace(new RegExp(`"${mark}([^"]*)"`, "g"), "$1");
}
