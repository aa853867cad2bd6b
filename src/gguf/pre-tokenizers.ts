/** How a tokenizer cuts text into words before it merges, and the name that llama.cpp has for it. */
export interface PreTokenizer {
  /** The value of `tokenizer.ggml.pre`. */
  readonly name: string;
  /** tokenizer.json's steps: patterns that are cut out, and `null` for the words of GPT-2. */
  readonly steps: readonly (string | null)[];
  /** Whether a word that is a token is taken whole. */
  readonly ignoresMerges: boolean;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const WORDS = "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+";
const REST = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const LLAMA3 = `${CONTRACTIONS}|${WORDS}|\\p{N}{1,3}|${REST}`;

/**
 * The pre-tokenizers that llama.cpp and tokenizer.json agree on. A wrong name gives wrong tokens without a word: one that is not
 * here is refused.
 */
export const PRE_TOKENIZERS: readonly PreTokenizer[] = [
  { name: "gpt-2", steps: [null], ignoresMerges: false },
  { name: "smollm", steps: ["\\p{N}", null], ignoresMerges: false },
  { name: "qwen2", steps: [`${CONTRACTIONS}|${WORDS}|\\p{N}|${REST}`], ignoresMerges: false },
  { name: "llama-bpe", steps: [LLAMA3], ignoresMerges: true },
  { name: "smaug-bpe", steps: [LLAMA3], ignoresMerges: false },
];

/** The pre-tokenizer with these steps; undefined if none is known. */
export function findPreTokenizer(steps: PreTokenizer["steps"], ignoresMerges: boolean): PreTokenizer | undefined {
  return PRE_TOKENIZERS.find(
    (known) => known.ignoresMerges === ignoresMerges && JSON.stringify(known.steps) === JSON.stringify(steps),
  );
}
