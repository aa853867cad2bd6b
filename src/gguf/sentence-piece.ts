/** What SentencePiece puts in place of a space. */
export const SPACE = "▁";

/** The token of a byte that no other token has. */
export function byteToken(byte: number): string {
  return `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
}

/**
 * Scores by which llama.cpp merges as a list of merges says: it joins any neighbours that make a token, that of the highest score
 * first. So a list must have all cuts of a token one after the other, and lack none. A {@link SPACE} that a text has itself is
 * not joined with spaces.
 *
 * @param merges - two tokens with a space between them, the first to be merged first
 * @param added - tokens that are looked for in a text before anything is merged
 * @returns scores of tokens that are merged; undefined if none make llama.cpp do the same
 */
export function scoresOfMerges(
  vocab: ReadonlySet<string>,
  merges: readonly string[],
  added: ReadonlySet<string>,
): ReadonlyMap<string, number> | undefined {
  const scores = new Map<string, number>();
  let last: string | undefined;
  for (const merge of merges) {
    const token = merge.replace(" ", "");
    if (added.has(token)) {
      // llama.cpp finds runs of spaces before it merges: these must be the first that are merged
      if (token.includes(SPACE) && scores.size > 0) return undefined;
    } else if (token !== last) {
      if (scores.has(token)) return undefined;
      scores.set(token, -scores.size);
      last = token;
    }
  }
  const listed = new Set(merges);
  const isComplete = [...vocab].every(
    (token) => added.has(token) || cuts(token, vocab).every((cut) => listed.has(cut)),
  );
  return isComplete ? scores : undefined;
}

/** The merges that scores amount to: of each token all cuts, the highest score first. The inverse of {@link scoresOfMerges}. */
export function mergesOfScores(scores: ReadonlyMap<string, number>): string[] {
  const vocab = new Set(scores.keys());
  const ordered = [...scores].sort(([, a], [, b]) => b - a);
  return ordered.flatMap(([token]) => cuts(token, vocab).reverse());
}

/** More characters than a token has that is merged: the work for one grows with their square. */
const MOST_CHARACTERS = 256;

/** All ways to make a token of two others or characters, the shortest first part first. */
function cuts(token: string, vocab: ReadonlySet<string>): string[] {
  const characters = [...token];
  if (characters.length > MOST_CHARACTERS) return [];
  const isSymbol = (part: string, length: number) => length === 1 || vocab.has(part);
  return characters.slice(1).flatMap((_, index) => {
    const [left, right] = [characters.slice(0, index + 1).join(""), characters.slice(index + 1).join("")];
    const isCut = isSymbol(left, index + 1) && isSymbol(right, characters.length - index - 1);
    return isCut ? [`${left} ${right}`] : [];
  });
}
