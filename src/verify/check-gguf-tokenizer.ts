import { type TokenizerFiles, tokenizerFiles } from "../data/tokenizer.ts";
import { DataError } from "../errors.ts";
import type { MetadataReader } from "../gguf/model-config.ts";
import type { LlamaConfig } from "../models/llama.ts";
import type { Source } from "./check-checkpoint.ts";
import type { OpenedGguf } from "./opened-gguf.ts";
import { type Problem, problem } from "./problem.ts";

const AGAIN = "Export the model again.";
const key = (rest: string) => `tokenizer.ggml.${rest}`;

/** Texts that tokenizers cut differently: digits, white space, code, contractions, scripts, emoji. */
const TEXTS: readonly string[] = [
  "In 1851, it cost 3.50 dollars; by 2024 that'd be 12345678 or so — wouldn't it?",
  "\tdef f(x):\r\n    return x  # twice\n\n\n  <|im_start|>end  ",
  "Ünïcödé ça déjà, Россия, 中文字符, 日本語テキスト, हिन्दी, العربية",
  "🐳🇨🇦 (╯°□°)╯︵ ┻━┻ ∑∞≠ HELLOworld_fooBar",
];

/**
 * Whether the keys of a file make up a tokenizer and, with a source that has one, whether this cuts texts into the same tokens.
 *
 * @param onNote - told of a tokenizer that cannot be compared
 */
export async function checkGgufTokenizer(
  { reader, model, checkpoint }: OpenedGguf,
  source: Source | undefined,
  onNote: (note: string) => void,
): Promise<Problem[]> {
  const problems = checkKeys(reader, (model.config as LlamaConfig).vocab_size);
  if (problems.length > 0 || !source) return problems;
  if (!(await source.checkpoint.listFiles()).includes("tokenizer.json")) return [];
  if (!(await checkpoint.listFiles()).includes("tokenizer.json")) {
    onNote(`tokens are not compared: ${key("pre")} ${JSON.stringify(reader.text(key("pre")))} is not known here`);
    return [];
  }
  try {
    return compareTokenizers(await tokenizerFiles(checkpoint.folder), await tokenizerFiles(source.checkpoint.folder));
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    return [problem(key("tokens"), `no tokenizer (${error.message})`, "one that is like the source's", AGAIN)];
  }
}

/** A text and a type for each row of the embedding, ids of tokens that there are, merges of tokens that there are. */
function checkKeys(reader: MetadataReader, rows: number): Problem[] {
  const kind = reader.text(key("model"));
  if (kind === undefined) return [problem(key("model"), "not there", "the kind of the tokenizer", AGAIN)];
  const tokens = reader.texts(key("tokens"));
  const types = reader.numbers(key("token_type"));
  const counts = [
    ["tokens", tokens.length],
    ["token_type", types.length],
  ] as const;
  return [
    ...counts.flatMap(([name, count]) =>
      count === rows ? [] : [problem(key(name), `${count} of them`, `one for each of the ${rows} rows`, AGAIN)],
    ),
    ...checkSpecialIds(reader, rows),
    ...(kind === "gpt2" ? checkMerges(reader, tokens) : []),
  ];
}

function checkSpecialIds(reader: MetadataReader, rows: number): Problem[] {
  const names = ["bos", "eos", "unknown", "padding"].map((name) => key(`${name}_token_id`));
  return names.flatMap((name) => {
    const id = reader.optional(name) ?? 0;
    return id < rows ? [] : [problem(name, String(id), `a token, fewer than ${rows}`, AGAIN)];
  });
}

/** Without the name of a pre-tokenizer, or without merges, llama.cpp takes others and gives other tokens. */
function checkMerges(reader: MetadataReader, tokens: readonly string[]): Problem[] {
  if (reader.text(key("pre")) === undefined)
    return [problem(key("pre"), "not there", "how texts are cut into words", AGAIN)];
  const merges = reader.texts(key("merges"));
  if (!reader.has(key("merges"))) return [problem(key("merges"), "not there", "pairs of tokens", AGAIN)];
  const known = new Set(tokens);
  const odd = merges.find((pair) => !known.has(pair.replace(/(?<=.) (?=.)/s, "")));
  if (odd === undefined) return [];
  return [problem(key("merges"), `${JSON.stringify(odd)} makes no token`, "pairs that do", AGAIN)];
}

function compareTokenizers(found: TokenizerFiles, expected: TokenizerFiles): Problem[] {
  const different = TEXTS.find((text) => String(tokensOf(found, text)) !== String(tokensOf(expected, text)));
  const values = [
    ["bos_token_id", found.bosTokenId, expected.bosTokenId],
    ["eos_token_id", found.tokenizer.eosTokenId, expected.tokenizer.eosTokenId],
  ] as const;
  return [
    ...(different === undefined ? [] : [describeDifference(found, expected, different)]),
    ...values.flatMap(([name, has, wants]) =>
      has === wants ? [] : [problem(key(name), String(has), `${wants}, as the source has`, AGAIN)],
    ),
    ...(found.chatTemplate === expected.chatTemplate
      ? []
      : [problem("tokenizer.chat_template", describeTemplate(found), "the source's", AGAIN)]),
  ];
}

function tokensOf({ tokenizer }: TokenizerFiles, text: string): number[] {
  return tokenizer.encode(text, { addSpecialTokens: true });
}

function describeDifference(found: TokenizerFiles, expected: TokenizerFiles, text: string): Problem {
  const [has, wants] = [found, expected].map((files) => tokensOf(files, text));
  const at = has.findIndex((id, index) => id !== wants[index]);
  const place = at < 0 ? has.length : at;
  const where = `token ${place} of ${JSON.stringify(text)}`;
  return problem(key("tokens"), `${has[place]} as ${where}`, `${wants[place]}, as the source's tokenizer has`, AGAIN);
}

function describeTemplate({ chatTemplate }: TokenizerFiles): string {
  return chatTemplate === undefined ? "not there" : "another one";
}
