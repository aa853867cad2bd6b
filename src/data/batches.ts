import { Tensor } from "../tensor/tensor.ts";
import { pad, type Sample, truncate } from "./samples.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The model's inputs for one run, each I64[batch, tokens]; `attention_mask` is 0 on padding. */
export type CalibrationBatch = Readonly<{ input_ids: Tensor<"I64">; attention_mask: Tensor<"I64"> }>;

/** How samples of different lengths become one batch: cut to the shortest, or padded to the longest. */
export type DataCollator = (typeof DATA_COLLATORS)[number];

/** The ways to make the samples of a batch equally long. */
export const DATA_COLLATORS = ["truncation", "padding"] as const;

/** How samples are put together. */
interface BatchOptions {
  readonly batchSize: number;
  readonly dataCollator: DataCollator;
  readonly tokenizer?: Tokenizer;
}

/** Neighbouring samples in batches of `batchSize`, the last of which may be smaller. */
export function toBatches(
  samples: readonly Sample[],
  { batchSize, dataCollator, tokenizer }: BatchOptions,
): CalibrationBatch[] {
  const batches: CalibrationBatch[] = [];
  for (let start = 0; start < samples.length; start += batchSize) {
    const members = samples.slice(start, start + batchSize);
    const lengths = members.map(({ inputIds }) => inputIds.length);
    const fitted =
      dataCollator === "truncation"
        ? members.map((sample) => truncate(sample, Math.min(...lengths)))
        : members.map((sample) => pad(sample, Math.max(...lengths), tokenizer));
    batches.push(stack(fitted));
  }
  return batches;
}

function stack(samples: readonly Sample[]): CalibrationBatch {
  return {
    input_ids: toTensor(samples.map(({ inputIds }) => inputIds)),
    attention_mask: toTensor(samples.map(({ inputIds, attentionMask }) => attentionMask ?? inputIds.map(() => 1))),
  };
}

/** Rows of equal length as I64[rows, columns]. */
export function toTensor(rows: readonly (readonly number[])[]): Tensor<"I64"> {
  return new Tensor("I64", [rows.length, rows[0].length], BigInt64Array.from(rows.flat(), BigInt));
}
