import { type TokenizerFiles, tokenizerFiles } from "../../data/tokenizer.ts";
import { ConfigError, DataError } from "../../errors.ts";
import { flag, list, type Metadata, type MetadataValue, text, uint32 } from "../../gguf/metadata.ts";
import { TOKEN_TYPES } from "../../gguf/token-types.ts";
import { parseWith } from "../../schemes/parse.ts";
import { byteLevel } from "./byte-level.ts";
import { readSteps } from "./pre-tokenizer.ts";
import { sentencePiece } from "./sentence-piece.ts";
import type { Token } from "./tokenizer-kind.ts";
import { type TokenizerJson, tokenizerSchema } from "./tokenizer-schema.ts";

/** What a file says of its tokenizer. */
interface TokenizerMetadata {
  readonly metadata: Metadata;
  /** What llama.cpp does otherwise. */
  readonly warnings: readonly string[];
}

/**
 * What a file says of its tokenizer: tokens, merges as they are or the scores that they amount to, the name of the pre-tokenizer,
 * special tokens, the chat template.
 *
 * @param rows - of the embedding: the vocabulary is filled up to them
 * @throws ConfigError for a tokenizer that llama.cpp would not follow exactly
 */
export async function tokenizerMetadata(folder: string, rows: number): Promise<TokenizerMetadata> {
  const files = await tokenizerFiles(folder);
  const json = parseWith(tokenizerSchema, files.json, files.path, DataError);
  // Bytes as letters leave nothing to fall back for, whatever the tokenizer says.
  const kind = json.model.byte_fallback && !readSteps(json.pre_tokenizer) ? sentencePiece : byteLevel;
  const { tokens, entries, warning } = kind(json, listTokens(json, rows, files.path), files.path);
  const contents = tokens.map(({ content }) => content);
  const types = tokens.map(({ type }) => type);
  const metadata = new Map<string, MetadataValue>([
    ...entries,
    ["tokenizer.ggml.tokens", list("string", contents)],
    ["tokenizer.ggml.token_type", list("int32", types)],
    ...specialTokens(json, files),
    ...surroundings(files),
    ...chatTemplates(files),
  ]);
  return {
    metadata,
    warnings: [warning, strippingWarning(json, files.path)].filter((message) => message !== undefined),
  };
}

/** Added tokens may take white space beside them. */
function strippingWarning({ added_tokens }: TokenizerJson, path: string): string | undefined {
  const stripping = added_tokens.filter(({ lstrip, rstrip }) => lstrip || rstrip);
  if (stripping.length === 0) return undefined;
  return `${path}: ${stripping.length} added tokens, ${stripping[0].content} the first, take white space beside them, which llama.cpp does for models with Phi-3 in their name only.`;
}

/** Tokens by id; ids that there is no token for are filled with unused ones. */
function listTokens({ model, added_tokens }: TokenizerJson, rows: number, path: string): Token[] {
  const tokens = Array.from({ length: rows }, (_, id): Token => ({ content: `[PAD${id}]`, type: TOKEN_TYPES.unused }));
  const place = (id: number, token: Token) => {
    if (id >= rows) throw new ConfigError(`${path}: token ${id}, expected fewer than the embedding's ${rows} rows.`);
    tokens[id] = token;
  };
  for (const [content, id] of Object.entries(model.vocab)) place(id, { content, type: TOKEN_TYPES.normal });
  for (const { id, content, special } of added_tokens)
    place(id, { content, type: special ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined });
  return tokens;
}

const SPECIAL_TOKENS = [
  ["bos_token", "bos_token_id"],
  ["eos_token", "eos_token_id"],
  ["unk_token", "unknown_token_id"],
  ["pad_token", "padding_token_id"],
] as const;

/** The ids of the special tokens that tokenizer_config.json names. */
function specialTokens(json: TokenizerJson, { config }: TokenizerFiles): [string, MetadataValue][] {
  const ids = new Map([
    ...Object.entries(json.model.vocab),
    ...json.added_tokens.map(({ content, id }) => [content, id] as const),
  ]);
  return SPECIAL_TOKENS.flatMap(([field, key]): [string, MetadataValue][] => {
    const id = ids.get(config[field] ?? "");
    return id === undefined ? [] : [[`tokenizer.ggml.${key}`, uint32(id)]];
  });
}

/** Whether start and end tokens are put around a text, seen from what the tokenizer does. */
function surroundings({ tokenizer, bosTokenId, path }: TokenizerFiles): [string, MetadataValue][] {
  const [bare, whole] = [false, true].map((addSpecialTokens) => tokenizer.encode("a", { addSpecialTokens }));
  const start = whole.findIndex((_, index) => bare.every((id, place) => whole[index + place] === id));
  const [before, after] = [whole.slice(0, start), whole.slice(start + bare.length)];
  const isKnown = start >= 0 && isOneOf(before, bosTokenId) && isOneOf(after, tokenizer.eosTokenId);
  if (!isKnown)
    throw new ConfigError(`${path}: puts tokens ${whole.join(", ")} around a text, expected a start and an end token.`);
  return [
    ["tokenizer.ggml.add_bos_token", flag(before.length > 0)],
    ["tokenizer.ggml.add_eos_token", flag(after.length > 0)],
  ];
}

function isOneOf(tokens: readonly number[], id: number | null): boolean {
  return tokens.length === 0 || (tokens.length === 1 && tokens[0] === id);
}

function chatTemplates({ chatTemplate }: TokenizerFiles): [string, MetadataValue][] {
  return chatTemplate === undefined ? [] : [["tokenizer.chat_template", text(chatTemplate)]];
}
