/** Names that are compared, and characters of each: what a message is worth, where a file brings millions. */
const MOST_NAMES = 10_000;
const LONGEST_NAME = 200;

/** The `count` names closest to `wanted` by edit distance, nearest first; for error messages. */
export function nearestNames(wanted: string, names: Iterable<string>, count = 3): string[] {
  const short = wanted.slice(0, LONGEST_NAME);
  return [...names]
    .filter((name) => name.length <= LONGEST_NAME)
    .slice(0, MOST_NAMES)
    .map((name) => ({ name, distance: editDistance(short, name) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ name }) => name);
}

/** Levenshtein distance, row by row. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, row[j] + 1, next[j - 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}
