/**
 * The path of a name that occurs twice in one object of `text`, which is valid JSON; undefined where every name is unique.
 *
 * JSON.parse keeps the last of two equal names: only the text shows that there were two.
 */
export function findDuplicateName(text: string): string | undefined {
  const levels: Level[] = [];
  let string = "";
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === "{" || character === "[") levels.push({ names: new Set(), current: "" });
    else if (character === "}" || character === "]") levels.pop();
    else if (character === '"') {
      const end = endOfString(text, i);
      string = text.slice(i, end);
      i = end - 1;
    } else if (character === ":") {
      if (!addName(levels[levels.length - 1], JSON.parse(string) as string)) {
        return levels.map(({ current }) => current).join(".");
      }
    }
  }
  return undefined;
}

/** An object or array that is open: the names met so far, and the one whose value comes. */
interface Level {
  readonly names: Set<string>;
  current: string;
}

function addName(level: Level, name: string): boolean {
  const isNew = !level.names.has(name);
  level.names.add(name);
  level.current = name;
  return isNew;
}

/** Position after the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (text[i] !== '"') i += text[i] === "\\" ? 2 : 1;
  return i + 1;
}
