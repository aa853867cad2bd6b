import { z } from "zod";

const token = z
  .union([z.string(), z.object({ content: z.string() }).transform(({ content }) => content)], {
    error: "expected a string or an object with content",
  })
  .nullish();

/** Named templates; the one without a purpose of its own is `default`. */
const namedTemplates = z
  .array(z.object({ name: z.string(), template: z.string() }))
  .transform((templates) => templates.find(({ name }) => name === "default")?.template);

/** Larger than any length that is meant: files say 1e30 for "none". Padding to it must stay possible. */
const NO_LENGTH = 2e7;

/** What is read of tokenizer_config.json. */
export const tokenizerConfigSchema = z.object({
  bos_token: token,
  eos_token: token,
  pad_token: token,
  unk_token: token,
  model_max_length: z
    .number()
    .min(1)
    .nullish()
    .transform((length) => (length == null || length > NO_LENGTH ? Number.POSITIVE_INFINITY : Math.floor(length))),
  padding_side: z.enum(["left", "right"]).default("right"),
  chat_template: z.union([z.string(), namedTemplates]).nullish(),
});

/** {@link tokenizerConfigSchema}, parsed. */
export type TokenizerConfig = z.output<typeof tokenizerConfigSchema>;
