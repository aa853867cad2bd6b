import { createHash } from "node:crypto";
import { DataError } from "../errors.ts";
import { type CalibrationBatch, toBatches } from "./batches.ts";
import { type CalibrationOptions, type CalibrationSettings, completeOptions } from "./calibration-options.ts";
import { type Content, isBlank, readContent } from "./content.ts";
import { type CalibrationSource, readRows, sourceName } from "./rows.ts";
import { concatenate, pad, type Sample, tokenize, truncate } from "./samples.ts";
import { select } from "./select.ts";

export type { CalibrationOptions, CalibrationSettings } from "./calibration-options.ts";
export type { CalibrationSource } from "./rows.ts";

/** Token ids in batches, ready to run. */
export interface CalibrationData {
  readonly batches: readonly CalibrationBatch[];
  /** What the user should know: fewer samples than asked for, rows without tokens, tokens cut. */
  readonly warnings: readonly string[];
  /** SHA-256 of all batches, in hexadecimal: equal for equal data only. */
  readonly digest: string;
  /** The options that it was made with, defaults filled in. */
  readonly settings: CalibrationSettings;
}

/** A tenth of all tokens cut away is worth a warning. */
const MUCH = 0.1;

/**
 * Reads rows, tokenizes those that are chosen, and puts them into batches.
 *
 * @throws DataError if the source cannot be read, a row has nothing to tokenize, or none is left.
 * @example
 * ```ts
 * const tokenizer = await loadTokenizer(folder);
 * const { batches } = await loadCalibrationData("texts.jsonl", { tokenizer, maxSeqLength: 512 });
 * ```
 */
export async function loadCalibrationData(
  source: CalibrationSource,
  options: CalibrationOptions = {},
): Promise<CalibrationData> {
  const name = sourceName(source);
  const warnings: string[] = [];
  const settings = completeOptions(options, (message) => warnings.push(message));
  const { samples, dropped } = await chooseSamples(source, name, settings);
  const asked = settings.numCalibrationSamples;
  if (dropped > 0) warnings.push(`${name}: rows without tokens were dropped: ${dropped}.`);
  if (samples.length === 0) throw new DataError(`${name}: no samples, expected ${asked}. Give rows with more text.`);
  if (samples.length < asked)
    warnings.push(`${name}: ${samples.length} of the ${asked} samples asked for. More would calibrate better.`);
  const batches = toBatches(samples, settings);
  const [left, all] = [countTokens(batches), samples.reduce((sum, { inputIds }) => sum + inputIds.length, 0)];
  if (left < (1 - MUCH) * all) {
    warnings.push(
      `${name}: batches of ${settings.batchSize} cut ${all - left} of ${all} tokens. Use data_collator padding.`,
    );
  }
  return { batches, warnings, digest: digestOf(batches), settings };
}

/** Samples of the rows that are drawn; blocks are drawn once rows are joined. */
async function chooseSamples(source: CalibrationSource, name: string, settings: CalibrationSettings) {
  let dropped = 0;
  async function* keep<T>(items: AsyncIterable<T>, isEmpty: (item: T) => boolean): AsyncGenerator<T> {
    for await (const item of items) {
      if (isEmpty(item)) dropped += 1;
      else yield item;
    }
  }
  const selection = {
    count: settings.numCalibrationSamples,
    shuffle: settings.shuffleCalibrationSamples,
    seed: settings.seed,
  };
  const contents = keep(readContents(source, name, settings.textColumn), isBlank);
  const samples = settings.concatenateData
    ? await select(concatenate(tokenizeAll(contents, settings), settings.maxSeqLength), selection)
    : (await select(contents, selection)).map((content) => toSample(content, settings));
  const filled = samples.filter(({ inputIds }) => inputIds.length > 0);
  return { samples: filled, dropped: dropped + samples.length - filled.length };
}

async function* readContents(source: CalibrationSource, name: string, textColumn: string): AsyncGenerator<Content> {
  let number = 0;
  for await (const row of readRows(source)) yield readContent(row, textColumn, `${name}: row ${++number}`);
}

async function* tokenizeAll(contents: AsyncIterable<Content>, settings: CalibrationSettings): AsyncGenerator<Sample> {
  for await (const content of contents) yield tokenize(content, settings);
}

function toSample(content: Content, settings: CalibrationSettings): Sample {
  const sample = truncate(tokenize(content, settings), settings.maxSeqLength);
  if (!settings.padToMaxLength || sample.inputIds.length === 0) return sample;
  return pad(sample, settings.maxSeqLength, settings.tokenizer);
}

/** Tokens in all batches, padding included. */
function countTokens(batches: readonly CalibrationBatch[]): number {
  return batches.reduce((sum, { input_ids }) => sum + input_ids.data.length, 0);
}

function digestOf(batches: readonly CalibrationBatch[]): string {
  const hash = createHash("sha256");
  for (const { input_ids, attention_mask } of batches) {
    hash.update(`[${input_ids.shape}]`).update(input_ids.bytes).update(attention_mask.bytes);
  }
  return hash.digest("hex");
}
