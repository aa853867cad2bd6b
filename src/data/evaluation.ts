import { DataError, hasCode } from "../errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { toTensor } from "./batches.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { readUtf8 } from "./utf8.ts";

/** Tokens of one stretch of text: I64[1, length]. */
export type EvaluationWindow = Readonly<{ input_ids: Tensor<"I64"> }>;

/** Which part of a text is evaluated. */
export interface EvaluationOptions {
  readonly tokenizer: Tokenizer;
  /** Windows of the text, from its start. 32. */
  readonly windows?: number;
  /** Tokens in each window. 512. */
  readonly length?: number;
}

/**
 * The first `windows` windows of `length` tokens of a text file, one after another. The text is tokenized as a whole and
 * without special tokens, so that perplexities of one tokenizer compare.
 *
 * @throws DataError if the text is too short.
 */
export async function loadEvaluationWindows(
  path: string,
  { tokenizer, windows = 32, length = 512 }: EvaluationOptions,
): Promise<EvaluationWindow[]> {
  if (!(Number.isInteger(windows) && windows > 0)) throw invalid("windows", windows, "a positive integer");
  if (!(Number.isInteger(length) && length > 1)) throw invalid("length", length, "an integer of at least 2");
  const ids = tokenizer.encode(await readText(path), { addSpecialTokens: false });
  const found = Math.floor(ids.length / length);
  if (found < windows) {
    throw new DataError(
      `${path}: ${found} windows of ${length} tokens, expected ${windows}. Give a longer text or ask for fewer windows.`,
    );
  }
  return Array.from({ length: windows }, (_, index) => ({
    input_ids: toTensor([ids.slice(index * length, (index + 1) * length)]),
  }));
}

async function readText(path: string): Promise<string> {
  try {
    let text = "";
    for await (const piece of readUtf8(path)) text += piece;
    return text;
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    const found = hasCode(cause, "ENOENT") ? "no such file" : `cannot be read (${(cause as Error).message})`;
    throw new DataError(`${path}: ${found}, expected a text. Check the path.`, { cause });
  }
}

function invalid(option: string, found: unknown, expected: string): DataError {
  return new DataError(`evaluation data: ${option} ${found}, expected ${expected}.`);
}
