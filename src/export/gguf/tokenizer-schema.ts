import { z } from "zod";

const added = z.object({
  id: z.number().int().nonnegative(),
  content: z.string(),
  special: z.boolean(),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
});

const bpe = z.object({
  type: z.literal("BPE"),
  vocab: z.record(z.string(), z.number().int().nonnegative()),
  merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()]).transform((pair) => pair.join(" "))])),
  unk_token: z.string().nullish(),
  byte_fallback: z.boolean().default(false),
  ignore_merges: z.boolean().default(false),
});

/** What of tokenizer.json a GGUF file tells. */
export const tokenizerSchema = z.object({
  normalizer: z.unknown(),
  pre_tokenizer: z.unknown(),
  model: bpe,
  added_tokens: z.array(added).default([]),
});

/** {@link tokenizerSchema}, parsed. */
export type TokenizerJson = z.infer<typeof tokenizerSchema>;
