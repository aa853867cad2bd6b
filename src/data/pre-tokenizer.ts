/**
 * `tokenizer.json` with every `Digits` step spelled as the split that the reference makes of it: any numeric character
 * (`½`, `²`, `Ⅷ`) ends a word there, where \@huggingface/tokenizers 0.2 looks for decimal digits only.
 */
export function withNumericDigits(json: Record<string, unknown>): Record<string, unknown> {
  return { ...json, pre_tokenizer: replaceDigits(json.pre_tokenizer) };
}

function replaceDigits(step: unknown): unknown {
  if (typeof step !== "object" || step === null) return step;
  const { type, individual_digits, pretokenizers } = step as Readonly<Record<string, unknown>>;
  if (Array.isArray(pretokenizers)) return { ...step, pretokenizers: pretokenizers.map(replaceDigits) };
  if (type !== "Digits") return step;
  const pattern = { Regex: individual_digits ? "\\p{N}" : "\\p{N}+" };
  return { type: "Split", pattern, behavior: "Isolated", invert: false };
}
