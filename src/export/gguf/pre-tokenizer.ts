import { z } from "zod";

const isolated = { behavior: z.literal("Isolated"), invert: z.literal(false).default(false) };

/** Steps that become patterns which are cut out of a text, or `null` for GPT-2's words; other steps do not parse. */
const step = z.union([
  z
    .strictObject({ type: z.literal("Split"), pattern: z.strictObject({ Regex: z.string() }), ...isolated })
    .transform(({ pattern }) => [pattern.Regex]),
  z
    .strictObject({ type: z.literal("Digits"), individual_digits: z.literal(true) })
    .transform((): (string | null)[] => ["\\p{N}"]),
  z
    .strictObject({
      type: z.literal("ByteLevel"),
      add_prefix_space: z.literal(false),
      trim_offsets: z.boolean().nullish(),
      use_regex: z.boolean().default(true),
    })
    .transform(({ use_regex }): (string | null)[] => (use_regex ? [null] : [])),
]);

const preTokenizer = z.union([
  z
    .strictObject({ type: z.literal("Sequence"), pretokenizers: z.array(step) })
    .transform(({ pretokenizers }) => pretokenizers.flat()),
  step,
]);

/** The steps of tokenizer.json's `pre_tokenizer` as {@link PreTokenizer} has them; undefined for one of other parts. */
export function readSteps(json: unknown): (string | null)[] | undefined {
  return preTokenizer.safeParse(json).data;
}
