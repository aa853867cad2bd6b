import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { z } from "zod";
import { DataError } from "../errors.ts";
import { parseWith } from "../schemes/parse.ts";
import { type ChatTemplate, compileChatTemplate } from "./chat-template.ts";
import { withNumericDigits } from "./pre-tokenizer.ts";
import { type TokenizerConfig, tokenizerConfigSchema } from "./tokenizer-config.ts";

/** Turns text into token ids, and knows what batches of them need. */
export interface Tokenizer {
  /** Token ids of `text`; `addSpecialTokens` asks for what the tokenizer puts around a text, such as a start token. */
  encode(text: string, options: { readonly addSpecialTokens: boolean }): number[];
  /** The padding token, or the end token where there is none. */
  readonly padTokenId: number | null;
  readonly eosTokenId: number | null;
  readonly paddingSide: "left" | "right";
  /** The longest sequence the model takes, Infinity if not known. */
  readonly modelMaxLength: number;
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
  const [path, configPath] = [join(folder, "tokenizer.json"), join(folder, "tokenizer_config.json")];
  const json = await readObject(path);
  if (!json) throw new DataError(`${path}: no such file, expected a tokenizer.`);
  const configJson = (await readObject(configPath)) ?? {};
  const config = parseWith(tokenizerConfigSchema, configJson, configPath, DataError);
  const tokenizer = create(json, configJson, path);
  const idOf = (token: string | null | undefined) => (token == null ? null : (tokenizer.token_to_id(token) ?? null));
  const eosTokenId = idOf(config.eos_token);
  return {
    encode: (text, { addSpecialTokens }) => tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids,
    padTokenId: idOf(config.pad_token) ?? eosTokenId,
    eosTokenId,
    paddingSide: config.padding_side,
    modelMaxLength: config.model_max_length,
    chatTemplate: await readChatTemplate(folder, config),
  };
}

function create(json: Record<string, unknown>, config: Record<string, unknown>, path: string): HuggingFaceTokenizer {
  try {
    return new HuggingFaceTokenizer(withNumericDigits(json), config);
  } catch (cause) {
    throw new DataError(`${path}: ${(cause as Error).message}, expected a tokenizer of a supported kind.`, { cause });
  }
}

/** A template in a file of its own wins over the one in tokenizer_config.json. */
async function readChatTemplate(folder: string, config: TokenizerConfig): Promise<ChatTemplate | undefined> {
  const source = (await readIfExists(join(folder, "chat_template.jinja"))) ?? config.chat_template;
  if (source == null) return undefined;
  const { bos_token, eos_token, pad_token, unk_token } = config;
  const tokens = Object.entries({ bos_token, eos_token, pad_token, unk_token });
  return compileChatTemplate(
    source,
    Object.fromEntries(tokens.filter((entry): entry is [string, string] => entry[1] != null)),
  );
}

async function readObject(path: string): Promise<Record<string, unknown> | undefined> {
  const text = await readIfExists(path);
  if (text === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${path}: not JSON, expected an object.`, { cause });
  }
  return parseWith(z.record(z.string(), z.unknown()), json, path, DataError);
}

async function readIfExists(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new DataError(`${path}: ${(cause as Error).message}, expected a readable file.`, { cause });
  }
}
