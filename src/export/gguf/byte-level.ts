import { z } from "zod";
import { ConfigError } from "../../errors.ts";
import { flag, list, text } from "../../gguf/metadata.ts";
import { findPreTokenizer } from "../../gguf/pre-tokenizers.ts";
import { readSteps } from "./pre-tokenizer.ts";
import { excerpt, type Token, type TokenizerKind } from "./tokenizer-kind.ts";
import type { TokenizerJson } from "./tokenizer-schema.ts";

/** Byte-level BPE: merges as they are, and the name of what cuts a text into words. @throws ConfigError where there is none */
export function byteLevel(json: TokenizerJson, tokens: readonly Token[], path: string): TokenizerKind {
  return {
    tokens,
    entries: [
      ["tokenizer.ggml.model", text("gpt2")],
      ["tokenizer.ggml.pre", text(preTokenizerName(json, path))],
      ["tokenizer.ggml.merges", list("string", json.model.merges)],
      ["tokenizer.ggml.add_space_prefix", flag(false)],
    ],
  };
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
