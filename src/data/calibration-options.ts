import { z } from "zod";
import { DataError } from "../errors.ts";
import { parseWith } from "../schemes/parse.ts";
import { DATA_COLLATORS, type DataCollator } from "./batches.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What becomes of the rows of a data set; names and meanings as in llm-compressor's entry point. */
export interface CalibrationOptions {
  /** The column that holds the text, or the messages of a chat. "text". */
  readonly textColumn?: string;
  /** Longer samples are cut; null for the tokenizer's own bound. Null. */
  readonly maxSeqLength?: number | null;
  /** Whether texts get the special tokens that the tokenizer puts around them; chats never do. True. */
  readonly addSpecialTokens?: boolean;
  /** Whether each sample is padded to `maxSeqLength`. False. */
  readonly padToMaxLength?: boolean;
  /** Whether samples are joined, and cut into blocks of `maxSeqLength` of which the last, if short, is dropped. False. */
  readonly concatenateData?: boolean;
  /** Samples to calibrate on. 512. */
  readonly numCalibrationSamples?: number;
  /** Whether samples are drawn from all rows, instead of the first ones in order. True. */
  readonly shuffleCalibrationSamples?: boolean;
  /** Of the shuffle: the same seed draws the same samples. 0. */
  readonly seed?: number;
  /** Samples in one batch. 1. */
  readonly batchSize?: number;
  /** What makes the samples of a batch equally long. "truncation". */
  readonly dataCollator?: DataCollator;
  /** Not needed where every row has `input_ids`. */
  readonly tokenizer?: Tokenizer;
}

const count = z.int().positive();

const schema = z.object({
  textColumn: z.string().default("text"),
  maxSeqLength: count.nullable().default(null),
  addSpecialTokens: z.boolean().default(true),
  padToMaxLength: z.boolean().default(false),
  concatenateData: z.boolean().default(false),
  numCalibrationSamples: count.default(512),
  shuffleCalibrationSamples: z.boolean().default(true),
  seed: z.int().default(0),
  batchSize: count.default(1),
  dataCollator: z.enum(DATA_COLLATORS).default("truncation"),
});

/** {@link CalibrationOptions} with every default filled in; `maxSeqLength` is a number, Infinity for no bound. */
export interface CalibrationSettings extends z.output<typeof schema> {
  readonly maxSeqLength: number;
  readonly tokenizer?: Tokenizer;
}

/** Options, checked and completed. @throws DataError for values out of range, and where a length is missing */
export function completeOptions(options: CalibrationOptions, warn: (message: string) => void): CalibrationSettings {
  const { tokenizer } = options;
  const given = parseWith(schema, options, "calibration data", DataError);
  const maxSeqLength = boundLength(given.maxSeqLength, tokenizer?.modelMaxLength ?? Number.POSITIVE_INFINITY, warn);
  if ((given.padToMaxLength || given.concatenateData) && maxSeqLength === Number.POSITIVE_INFINITY) {
    const option = given.concatenateData ? "concatenate_data" : "pad_to_max_length";
    throw new DataError(`calibration data: ${option} without a length, expected one. Set max_seq_length.`);
  }
  return { ...given, maxSeqLength, tokenizer };
}

function boundLength(asked: number | null, bound: number, warn: (message: string) => void): number {
  if (asked === null) return bound;
  if (asked > bound)
    warn(`calibration data: max_seq_length ${asked} is more than the tokenizer's ${bound}, which is used.`);
  return Math.min(asked, bound);
}
