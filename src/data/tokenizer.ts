import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { z } from "zod";
import { readContained } from "../checkpoint/contained-file.ts";
import { parseJson } from "../checkpoint/parse-json.ts";
import { timeLimited } from "../checkpoint/time-limit.ts";
import { DataError, LayerwiseError } from "../errors.ts";
import { parseWith } from "../schemes/parse.ts";
import { type ChatTemplate, compileChatTemplate } from "./chat-template.ts";
import { spellPreTokenizer } from "./pre-tokenizer.ts";
import { type TokenizerConfig, tokenizerConfigSchema } from "./tokenizer-config.ts";

/** Turns text into token ids, and knows what batches of them need. */
export interface Tokenizer {
  /** Token ids of `text`; `addSpecialTokens` asks for what the tokenizer puts around a text, such as a start token. */
  encode(text: string, options: { readonly addSpecialTokens: boolean }): number[];
  /** The padding token, or the end token where there is none. */
  readonly padTokenId: number | null;
  /** The end token; null where there is none. */
  readonly eosTokenId: number | null;
  /** Where padding goes, if a batch is padded. */
  readonly paddingSide: "left" | "right";
  /** The longest sequence the model takes, Infinity if not known. */
  readonly modelMaxLength: number;
  /** Turns the messages of a chat into text; absent where the model has no template. */
  readonly chatTemplate?: ChatTemplate;
}

/**
 * The tokenizer of a model folder: tokenizer.json, and tokenizer_config.json and chat_template.jinja where there are any.
 *
 * @throws DataError if tokenizer.json is missing, or a file is broken.
 * @example
 * ```ts
 * const tokenizer = await loadTokenizer("SmolLM2-135M-Instruct");
 * tokenizer.encode("Call me Ishmael.", { addSpecialTokens: false });
 * ```
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  return (await tokenizerFiles(folder)).tokenizer;
}

/** A tokenizer, and what its files say. */
export interface TokenizerFiles {
  readonly tokenizer: Tokenizer;
  readonly bosTokenId: number | null;
  /** Path of tokenizer.json. */
  readonly path: string;
  /** What tokenizer.json says. */
  readonly json: Readonly<Record<string, unknown>>;
  readonly config: TokenizerConfig;
  /** The source of the chat template. */
  readonly chatTemplate?: string;
}

/** The tokenizer of a model folder with what its files say. @throws DataError as {@link loadTokenizer} does */
export async function tokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const [path, configPath] = [join(folder, "tokenizer.json"), join(folder, "tokenizer_config.json")];
  const json = await readObject(path);
  if (!json) throw new DataError(`${path}: no such file, expected a tokenizer. Put the model's there.`);
  const configJson = (await readObject(configPath)) ?? {};
  const config = parseWith(tokenizerConfigSchema, configJson, configPath, DataError);
  const made = create(json, configJson, path);
  const idOf = (token: string | null | undefined) => (token == null ? null : (made.token_to_id(token) ?? null));
  const eosTokenId = idOf(config.eos_token);
  const chatTemplate = await readChatTemplate(folder, config);
  const tokenizer = {
    encode: encoder(made, path),
    padTokenId: idOf(config.pad_token) ?? eosTokenId,
    eosTokenId,
    paddingSide: config.padding_side,
    modelMaxLength: config.model_max_length,
    chatTemplate: chatTemplate === undefined ? undefined : compileTemplate(chatTemplate, config),
  };
  return { tokenizer, bosTokenId: idOf(config.bos_token), path, json, config, chatTemplate };
}

function create(json: Record<string, unknown>, config: Record<string, unknown>, path: string): HuggingFaceTokenizer {
  try {
    const make = () => new HuggingFaceTokenizer(spellPreTokenizer(json), config);
    return timeLimited(make, path, { failure: DataError, seconds: () => 60 })(); // some have half a million merges
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(
      `${path}: ${(cause as Error).message}, expected a tokenizer of a supported kind. Get the file again.`,
      { cause },
    );
  }
}

/** Far fewer than a tokenizer encodes, on any machine. */
const CHARACTERS_PER_SECOND = 20_000;

/** Encodes with a tokenizer whose patterns may never end, and whose ids may be anything. */
function encoder(tokenizer: HuggingFaceTokenizer, path: string): Tokenizer["encode"] {
  const encode = timeLimited(
    (text: string, add_special_tokens: boolean) => tokenizer.encode(text, { add_special_tokens }).ids,
    path,
    { failure: DataError, seconds: (text) => 10 + text.length / CHARACTERS_PER_SECOND },
  );
  return (text, { addSpecialTokens }) => {
    let ids: number[];
    try {
      ids = encode(text, addSpecialTokens);
    } catch (cause) {
      if (cause instanceof DataError) throw cause;
      throw new DataError(`${path}: fails on a text (${(cause as Error).message}). Get the file again.`, { cause });
    }
    const odd = ids.find((id) => !(Number.isSafeInteger(id) && id >= 0));
    if (odd === undefined) return ids;
    throw new DataError(`${path}: gives the token id ${odd}, expected whole numbers. Get the file again.`);
  };
}

/** A template in a file of its own wins over the one in tokenizer_config.json. */
async function readChatTemplate(folder: string, config: TokenizerConfig): Promise<string | undefined> {
  const file = await readIfExists(join(folder, "chat_template.jinja"));
  return file ? new TextDecoder().decode(file) : (config.chat_template ?? undefined);
}

function compileTemplate(source: string, config: TokenizerConfig): ChatTemplate {
  const { bos_token, eos_token, pad_token, unk_token } = config;
  const tokens = Object.entries({ bos_token, eos_token, pad_token, unk_token });
  return compileChatTemplate(
    source,
    Object.fromEntries(tokens.filter((entry): entry is [string, string] => entry[1] != null)),
  );
}

async function readObject(path: string): Promise<Record<string, unknown> | undefined> {
  const bytes = await readIfExists(path);
  if (bytes === undefined) return undefined;
  let json: unknown;
  try {
    json = parseJson(bytes);
  } catch (cause) {
    const found = cause instanceof RangeError ? cause.message : "not JSON";
    throw new DataError(`${path}: ${found}, expected an object. Get the file again.`, { cause });
  }
  return parseWith(z.record(z.string(), z.unknown()), json, path, DataError);
}

async function readIfExists(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readContained(path);
  } catch (cause) {
    if (cause instanceof LayerwiseError) throw cause;
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new DataError(`${path}: ${(cause as Error).message}, expected a readable file.`, { cause });
  }
}
