/**
 * `tokenizer.json` with its pre-tokenizer spelled so that \@huggingface/tokenizers 0.2 splits a text where the reference does:
 * any numeric character (`½`, `²`, `Ⅷ`) is a digit, where it looks for decimal digits only; and white space is what Unicode says,
 * where JavaScript's `\s` has U+FEFF and not U+0085.
 */
export function spellPreTokenizer(json: Record<string, unknown>): Record<string, unknown> {
  return { ...json, pre_tokenizer: respell(json.pre_tokenizer) };
}

/** What a byte-level step splits at, as GPT-2 does. */
const BYTE_LEVEL =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\p{White_Space}\\p{L}\\p{N}]+|\\p{White_Space}+(?!\\P{White_Space})|\\p{White_Space}+";

function respell(step: unknown): unknown {
  if (typeof step !== "object" || step === null) return step;
  const { type, individual_digits, pretokenizers, use_regex, add_prefix_space } = step as Readonly<
    Record<string, unknown>
  >;
  if (Array.isArray(pretokenizers)) return { ...step, pretokenizers: pretokenizers.map(respell) };
  if (type === "Digits") return splitAt(individual_digits ? "\\p{N}" : "\\p{N}+");
  const splits = type === "ByteLevel" && use_regex !== false && !add_prefix_space; // a prefix is put before the whole text
  if (!splits) return step;
  return { type: "Sequence", pretokenizers: [splitAt(BYTE_LEVEL), { ...step, use_regex: false }] };
}

function splitAt(regex: string) {
  return { type: "Split", pattern: { Regex: regex }, behavior: "Isolated", invert: false };
}
