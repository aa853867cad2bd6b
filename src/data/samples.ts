import { DataError } from "../errors.ts";
import type { Content } from "./content.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** Token ids of one sequence; without a mask, every position counts. */
export interface Sample {
  readonly inputIds: readonly number[];
  readonly attentionMask?: readonly number[];
}

/** How contents become samples. */
interface SampleOptions {
  /** Longer samples are cut; Infinity for no bound. */
  readonly maxSeqLength: number;
  readonly addSpecialTokens: boolean;
  readonly tokenizer?: Tokenizer;
}

/**
 * The tokens of a row, all of them. A chat gets no special tokens but those its template writes.
 *
 * @throws DataError naming the row if there is no tokenizer, or its template does not take the chat.
 */
export function tokenize(
  content: Content,
  { tokenizer, addSpecialTokens }: Omit<SampleOptions, "maxSeqLength">,
): Sample {
  const { kind, where } = content;
  if (kind === "ids") return { inputIds: content.inputIds, attentionMask: content.attentionMask };
  if (!tokenizer)
    throw new DataError(
      `${where}: ${kind}, expected input_ids, as the model has no tokenizer.json. Add it, or tokenize the rows.`,
    );
  if (kind === "text") return { inputIds: tokenizer.encode(content.text, { addSpecialTokens }) };
  return { inputIds: tokenizer.encode(renderChat(content, tokenizer), { addSpecialTokens: false }) };
}

function renderChat({ messages, where }: Extract<Content, { kind: "chat" }>, { chatTemplate }: Tokenizer): string {
  if (!chatTemplate) {
    throw new DataError(
      `${where}: messages, expected a text, as the tokenizer has no chat template. Add chat_template.jinja.`,
    );
  }
  try {
    return chatTemplate(messages);
  } catch (cause) {
    throw new DataError(`${where}: ${(cause as Error).message}`, { cause });
  }
}

/** The first `length` tokens of a sample. */
export function truncate(sample: Sample, length: number): Sample {
  if (sample.inputIds.length <= length) return sample;
  return { inputIds: sample.inputIds.slice(0, length), attentionMask: sample.attentionMask?.slice(0, length) };
}

/**
 * A sample of `length` tokens: what is missing is padding, with mask 0.
 *
 * @throws DataError if the tokenizer has no token for it.
 */
export function pad(sample: Sample, length: number, tokenizer: Tokenizer | undefined): Sample {
  const { inputIds, attentionMask = inputIds.map(() => 1) } = sample;
  const missing = length - inputIds.length;
  if (missing <= 0) return sample;
  if (tokenizer?.padTokenId == null) {
    throw new DataError("padding: no tokenizer with a pad or end token, expected one. Collate by truncation instead.");
  }
  const [ids, zeros] = [Array<number>(missing).fill(tokenizer.padTokenId), Array<number>(missing).fill(0)];
  return tokenizer.paddingSide === "left"
    ? { inputIds: [...ids, ...inputIds], attentionMask: [...zeros, ...attentionMask] }
    : { inputIds: [...inputIds, ...ids], attentionMask: [...attentionMask, ...zeros] };
}

/** The tokens of all samples in a row, cut into blocks of `length`; what is left at the end is dropped. */
export async function* concatenate(samples: AsyncIterable<Sample>, length: number): AsyncGenerator<Sample> {
  let inputIds: number[] = [];
  let attentionMask: number[] = [];
  for await (const sample of samples) {
    inputIds = inputIds.concat(sample.inputIds);
    attentionMask = attentionMask.concat(sample.attentionMask ?? sample.inputIds.map(() => 1));
    while (inputIds.length >= length) {
      yield { inputIds: inputIds.splice(0, length), attentionMask: attentionMask.splice(0, length) };
    }
  }
}
