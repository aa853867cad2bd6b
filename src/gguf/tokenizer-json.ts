import type { MetadataReader } from "./metadata-reader.ts";
import { PRE_TOKENIZERS, type PreTokenizer } from "./pre-tokenizers.ts";
import { mergesOfScores, SPACE } from "./sentence-piece.ts";
import { TOKEN_TYPES } from "./token-types.ts";

/** The files that a Hugging Face tokenizer consists of, by name. */
type TokenizerJsonFiles = Readonly<Record<string, unknown>>;

/**
 * The tokenizer that a file's metadata amounts to; no files where it is of a kind that layerwise does not know, so that only what
 * needs a tokenizer fails.
 */
export function tokenizerFilesOf(reader: MetadataReader): TokenizerJsonFiles {
  const tokens = reader.texts("tokenizer.ggml.tokens");
  const types = reader.numbers("tokenizer.ggml.token_type");
  const kind = kindOf(reader, tokens, types);
  if (!kind) return {};
  const tokenOf = (key: string) => tokens[reader.optional(`tokenizer.ggml.${key}`) ?? -1];
  return {
    "tokenizer.json": {
      version: "1.0",
      added_tokens: addedTokens(tokens, types),
      ...kind,
      post_processor: surround(reader, tokenOf("bos_token_id"), tokenOf("eos_token_id")),
    },
    "tokenizer_config.json": {
      bos_token: tokenOf("bos_token_id"),
      eos_token: tokenOf("eos_token_id"),
      unk_token: tokenOf("unknown_token_id"),
      pad_token: tokenOf("padding_token_id"),
      chat_template: reader.text("tokenizer.chat_template"),
    },
  };
}

/** The parts of tokenizer.json in which kinds of tokenizers differ; undefined for a kind that is not known. */
function kindOf(reader: MetadataReader, tokens: readonly string[], types: readonly number[]): object | undefined {
  const model = reader.text("tokenizer.ggml.model");
  const pre = PRE_TOKENIZERS.find(({ name }) => name === reader.text("tokenizer.ggml.pre"));
  if (model === "llama") return sentencePiece(reader, tokens, types);
  return model === "gpt2" && pre ? byteLevel(reader, pre, tokens, types) : undefined;
}

function byteLevel(
  reader: MetadataReader,
  pre: PreTokenizer,
  tokens: readonly string[],
  types: readonly number[],
): object {
  const vocab = [...tokens.entries()].filter(([id]) => isPlain(types[id])).map(([id, token]) => [token, id]);
  return {
    normalizer: null,
    pre_tokenizer: preTokenizer(pre),
    decoder: { type: "ByteLevel" },
    model: {
      type: "BPE",
      byte_fallback: false,
      ignore_merges: pre.ignoresMerges,
      vocab: Object.fromEntries(vocab),
      merges: reader.texts("tokenizer.ggml.merges"),
    },
  };
}

function sentencePiece(reader: MetadataReader, tokens: readonly string[], types: readonly number[]): object {
  const isPiece = (type: number | undefined) => isPlain(type) || type === TOKEN_TYPES.unknown;
  const pieces = [...tokens.entries()].filter(([id]) => isPiece(types[id]));
  const scores = reader.numbers("tokenizer.ggml.scores");
  const isPrefixed = reader.flag("tokenizer.ggml.add_space_prefix") ?? true;
  const replace = { type: "Replace", pattern: { String: " " }, content: SPACE };
  const prefix = { type: "Prepend", prepend: SPACE };
  const decoders = [
    { type: "Replace", pattern: { String: SPACE }, content: " " },
    { type: "ByteFallback" },
    { type: "Fuse" },
  ];
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
  return {
    normalizer: isPrefixed ? { type: "Sequence", normalizers: [prefix, replace] } : replace,
    pre_tokenizer: null,
    decoder: { type: "Sequence", decoders: isPrefixed ? [...decoders, strip] : decoders },
    model: {
      type: "BPE",
      unk_token: tokens[types.indexOf(TOKEN_TYPES.unknown)],
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(pieces.map(([id, token]) => [token, id])),
      merges: mergesOfScores(new Map(pieces.map(([id, token]) => [token, scores[id] ?? 0]))),
    },
  };
}

function isPlain(type: number | undefined): boolean {
  return type === undefined || type === TOKEN_TYPES.normal || type === TOKEN_TYPES.byte;
}

function addedTokens(tokens: readonly string[], types: readonly number[]): object[] {
  const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return tokens.flatMap((content, id) => {
    if (isPlain(types[id]) || types[id] === TOKEN_TYPES.unused) return [];
    return [{ id, content, ...flags, special: types[id] !== TOKEN_TYPES.userDefined }];
  });
}

function preTokenizer({ steps }: PreTokenizer): object {
  const split = (pattern: string) => ({
    type: "Split",
    pattern: { Regex: pattern },
    behavior: "Isolated",
    invert: false,
  });
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: steps.includes(null) };
  const patterns = steps.filter((step) => step !== null);
  return { type: "Sequence", pretokenizers: [...patterns.map(split), byteLevel] };
}

/** Puts a start or an end token around a text, where the file says so. */
function surround(reader: MetadataReader, bos: string | undefined, eos: string | undefined): object | null {
  const isSentencePiece = reader.text("tokenizer.ggml.model") === "llama";
  const before = (reader.flag("tokenizer.ggml.add_bos_token") ?? isSentencePiece) ? bos : undefined;
  const after = reader.flag("tokenizer.ggml.add_eos_token") ? eos : undefined;
  if (before === undefined && after === undefined) return null;
  const special = (token: string | undefined) =>
    token === undefined ? [] : [{ SpecialToken: { id: token, type_id: 0 } }];
  const single = [...special(before), { Sequence: { id: "A", type_id: 0 } }, ...special(after)];
  const used = [before, after].filter((token) => token !== undefined);
  const ids = reader.texts("tokenizer.ggml.tokens");
  return {
    type: "TemplateProcessing",
    single,
    pair: [...single, { Sequence: { id: "B", type_id: 1 } }],
    special_tokens: Object.fromEntries(
      used.map((token) => [token, { id: token, ids: [ids.indexOf(token)], tokens: [token] }]),
    ),
  };
}
