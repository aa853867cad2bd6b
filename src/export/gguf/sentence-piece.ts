import { z } from "zod";
import { ConfigError } from "../../errors.ts";
import { flag, list, text } from "../../gguf/metadata.ts";
import { byteToken, SPACE, scoresOfMerges } from "../../gguf/sentence-piece.ts";
import { TOKEN_TYPES } from "../../gguf/token-types.ts";
import { excerpt, type Token, type TokenizerKind } from "./tokenizer-kind.ts";
import type { TokenizerJson } from "./tokenizer-schema.ts";

/** What becomes of spaces: whether one is put before a text, and whether only where none is, or at a text's begin alone. */
interface Spaces {
  readonly isPrefixed: boolean;
  readonly isSparing?: boolean;
}

const replace = z.strictObject({
  type: z.literal("Replace"),
  pattern: z.strictObject({ String: z.literal(" ") }),
  content: z.literal(SPACE),
});
const prepend = z.strictObject({ type: z.literal("Prepend"), prepend: z.literal(SPACE) });
/** Cuts at spaces, of which none are left. */
const idle = z.strictObject({
  type: z.literal("Split"),
  pattern: z.strictObject({ String: z.literal(" ") }),
  behavior: z.literal("MergedWithPrevious"),
  invert: z.literal(false),
});

const spaces = z.union([
  z
    .object({
      normalizer: z.strictObject({ type: z.literal("Sequence"), normalizers: z.tuple([prepend, replace]) }),
      pre_tokenizer: z.null(),
    })
    .transform((): Spaces => ({ isPrefixed: true })),
  z
    .object({ normalizer: replace, pre_tokenizer: z.union([z.null(), idle]) })
    .transform((): Spaces => ({ isPrefixed: false })),
  z
    .object({
      normalizer: z.null(),
      pre_tokenizer: z.object({
        type: z.literal("Metaspace"),
        replacement: z.literal(SPACE),
        prepend_scheme: z.enum(["always", "first", "never"]),
        split: z.literal(false),
      }),
    })
    .transform(({ pre_tokenizer: { prepend_scheme } }): Spaces => {
      const isPrefixed = prepend_scheme !== "never";
      return { isPrefixed, isSparing: isPrefixed };
    }),
]);

/**
 * SentencePiece's BPE: tokens with scores, and bytes for what no token has.
 *
 * @throws ConfigError for one that llama.cpp would not follow
 */
export function sentencePiece(json: TokenizerJson, tokens: readonly Token[], path: string): TokenizerKind {
  const { normalizer = null, pre_tokenizer = null, model, added_tokens } = json;
  const found = spaces.safeParse({ normalizer, pre_tokenizer }).data;
  if (!found) {
    throw new ConfigError(
      `${path}: normalizer ${excerpt(normalizer)} and pre_tokenizer ${excerpt(pre_tokenizer)}, expected ${SPACE} in place of spaces and nothing else: llama.cpp has nothing else for this kind of tokenizer.`,
    );
  }
  const vocab = new Set(Object.keys(model.vocab));
  checkBytes(vocab, path);
  const scores = scoresOfMerges(vocab, model.merges, new Set(added_tokens.map(({ content }) => content)));
  if (!scores) {
    throw new ConfigError(
      `${path}: merges that no scores of tokens tell of, expected those of a SentencePiece model: llama.cpp would give other tokens.`,
    );
  }
  const pieces = tokens.map((token) => asPiece(token, model.unk_token));
  return {
    tokens: pieces,
    entries: [
      ["tokenizer.ggml.model", text("llama")],
      ["tokenizer.ggml.pre", text("default")],
      [
        "tokenizer.ggml.scores",
        list(
          "float32",
          pieces.map((piece) => scoreOf(piece, scores)),
        ),
      ],
      ["tokenizer.ggml.add_space_prefix", flag(found.isPrefixed)],
    ],
    warning: found.isSparing
      ? `${path}: puts a space before a text that begins with none; llama.cpp does so before any text, and after special tokens.`
      : undefined,
  };
}

/** Every byte has a token, or is one itself. @throws ConfigError if one has not */
function checkBytes(vocab: ReadonlySet<string>, path: string): void {
  for (let byte = 0; byte < 256; byte++) {
    const isKnown = vocab.has(byteToken(byte)) || (byte < 128 && vocab.has(String.fromCharCode(byte)));
    if (!isKnown) throw new ConfigError(`${path}: no token ${byteToken(byte)}, expected one for every byte.`);
  }
}

/** A token under the type that SentencePiece has for it; what is looked for in a text is spelt as it is there. */
function asPiece({ content, type }: Token, unknown: string | null | undefined): Token {
  if (content === unknown) return { content, type: TOKEN_TYPES.unknown };
  if (type === TOKEN_TYPES.userDefined) return { content: content.replaceAll(SPACE, " "), type };
  const isByte = type === TOKEN_TYPES.normal && /^<0x[0-9A-F]{2}>$/.test(content);
  return { content, type: isByte ? TOKEN_TYPES.byte : type };
}

/** What is never merged has a score that does not matter; SentencePiece's own converters give these. */
function scoreOf({ content, type }: Token, scores: ReadonlyMap<string, number>): number {
  if (type === TOKEN_TYPES.unused) return -10_000;
  if (type === TOKEN_TYPES.control || type === TOKEN_TYPES.userDefined) return -1000;
  return scores.get(content) ?? (type === TOKEN_TYPES.normal ? -scores.size : 0);
}
