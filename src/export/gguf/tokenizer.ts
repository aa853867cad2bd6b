import { z } from "zod";
import { type TokenizerFiles, tokenizerFiles } from "../../data/tokenizer.ts";
import { ConfigError, DataError } from "../../errors.ts";
import { flag, list, type Metadata, type MetadataValue, text, uint32 } from "../../gguf/metadata.ts";
import { findPreTokenizer } from "../../gguf/pre-tokenizers.ts";
import { TOKEN_TYPES } from "../../gguf/token-types.ts";
import { parseWith } from "../../schemes/parse.ts";
import { readSteps } from "./pre-tokenizer.ts";

const added = z.object({ id: z.number().int().nonnegative(), content: z.string(), special: z.boolean() });

const bpe = z.object({
  type: z.literal("BPE"),
  vocab: z.record(z.string(), z.number().int().nonnegative()),
  merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()]).transform((pair) => pair.join(" "))])),
  ignore_merges: z.boolean().default(false),
});

const tokenizerSchema = z.object({
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  model: bpe,
  added_tokens: z.array(added).default([]),
});

type TokenizerJson = z.infer<typeof tokenizerSchema>;

/**
 * What a file says of its tokenizer: tokens and merges as they are, the name of the pre-tokenizer, special tokens, the chat
 * template.
 *
 * @param rows - of the embedding: the vocabulary is filled up to them
 * @throws ConfigError for a tokenizer that llama.cpp would not follow exactly
 */
export async function tokenizerMetadata(folder: string, rows: number): Promise<Metadata> {
  const files = await tokenizerFiles(folder);
  const json = parseWith(tokenizerSchema, files.json, files.path, DataError);
  const tokens = listTokens(json, rows, files.path);
  return new Map<string, MetadataValue>([
    ["tokenizer.ggml.model", text("gpt2")],
    ["tokenizer.ggml.pre", text(preTokenizerName(json, files.path))],
    [
      "tokenizer.ggml.tokens",
      list(
        "string",
        tokens.map(({ content }) => content),
      ),
    ],
    [
      "tokenizer.ggml.token_type",
      list(
        "int32",
        tokens.map(({ type }) => type),
      ),
    ],
    ["tokenizer.ggml.merges", list("string", json.model.merges)],
    ...specialTokens(json, files),
    ...surroundings(files),
    ...chatTemplates(files),
  ]);
}

/** @throws ConfigError where the text is changed, or cut into words, in a way that llama.cpp has no name for */
function preTokenizerName({ normalizer, pre_tokenizer, model }: TokenizerJson, path: string): string {
  if (!isPlain(normalizer)) {
    throw new ConfigError(`${path}: normalizer ${excerpt(normalizer)}, expected none, or NFC: llama.cpp has no other.`);
  }
  const steps = readSteps(pre_tokenizer);
  const known = steps && findPreTokenizer(steps, model.ignore_merges);
  if (known) return known.name;
  throw new ConfigError(
    `${path}: pre_tokenizer ${excerpt(pre_tokenizer)} is not one that llama.cpp is known to follow, expected GPT-2's, SmolLM's, ` +
      "Qwen2's or Llama 3's. A file with another name would give wrong tokens.",
  );
}

/** Texts are in composed form already, or so rare that they are not that a runtime without a normalizer does. */
function isPlain(normalizer: unknown): boolean {
  const parts = z.object({ type: z.literal("Sequence"), normalizers: z.array(z.unknown()) }).safeParse(normalizer).data;
  if (parts) return parts.normalizers.every(isPlain);
  return normalizer == null || z.object({ type: z.literal("NFC") }).safeParse(normalizer).success;
}

interface Token {
  readonly content: string;
  readonly type: number;
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
    ["tokenizer.ggml.add_space_prefix", flag(false)],
  ];
}

function isOneOf(tokens: readonly number[], id: number | null): boolean {
  return tokens.length === 0 || (tokens.length === 1 && tokens[0] === id);
}

function chatTemplates({ chatTemplate }: TokenizerFiles): [string, MetadataValue][] {
  return chatTemplate === undefined ? [] : [["tokenizer.chat_template", text(chatTemplate)]];
}

/** A value in a message, cut where it is long. */
function excerpt(value: unknown): string {
  const json = JSON.stringify(value) ?? "none";
  return json.length <= 200 ? json : `${json.slice(0, 200)}…`;
}
