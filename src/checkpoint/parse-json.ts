/** Levels of nesting; more is no one's intent, and would overflow the stack of whoever walks the value. */
const DEEPEST = 100;

/** A JSON text in UTF-8 as a value. @throws SyntaxError and RangeError as {@link decodeJson} does */
export function parseJson(bytes: Uint8Array): unknown {
  return JSON.parse(decodeJson(bytes));
}

/**
 * The text of JSON in UTF-8, to be parsed.
 *
 * @throws SyntaxError for bytes that are not UTF-8, RangeError for values nested deeper than a hundred levels: each level
 *   would take memory, and a byte is enough for one
 */
export function decodeJson(bytes: Uint8Array): string {
  if (nestingOf(bytes) > DEEPEST) throw new RangeError(`nested deeper than ${DEEPEST} levels`);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new SyntaxError("not UTF-8", { cause });
  }
}

const [QUOTE, BACKSLASH] = [0x22, 0x5c];
const OPENING = new Set(Buffer.from("[{"));
const CLOSING = new Set(Buffer.from("]}"));

/** The deepest level of nesting: brackets that are open outside of a string. */
function nestingOf(json: Uint8Array): number {
  let [depth, deepest, inString] = [0, 0, false];
  for (let i = 0; i < json.length; i++) {
    const byte = json[i];
    if (byte === QUOTE) inString = !inString;
    else if (inString) i += byte === BACKSLASH ? 1 : 0;
    else if (OPENING.has(byte)) deepest = Math.max(deepest, ++depth);
    else if (CLOSING.has(byte)) depth--;
  }
  return deepest;
}
