import { expect, test } from "vitest";
import { characterTokenizer } from "../../test/character-tokenizer.ts";
import { toBatches } from "./batches.ts";

const samples = [{ inputIds: [1, 2, 3] }, { inputIds: [4, 5], attentionMask: [1, 0] }, { inputIds: [6] }];
const tokenizer = characterTokenizer();

const rowsOf = (batches: ReturnType<typeof toBatches>) =>
  batches.map(({ input_ids, attention_mask }) => ({
    shape: input_ids.shape,
    ids: Array.from(input_ids.data, Number),
    mask: Array.from(attention_mask.data, Number),
  }));

test("truncation cuts each batch to its shortest sample", () => {
  expect(rowsOf(toBatches(samples, { batchSize: 2, dataCollator: "truncation" }))).toEqual([
    { shape: [2, 2], ids: [1, 2, 4, 5], mask: [1, 1, 1, 0] },
    { shape: [1, 1], ids: [6], mask: [1] },
  ]);
});

test("padding fills each batch to its longest sample", () => {
  expect(rowsOf(toBatches(samples, { batchSize: 2, dataCollator: "padding", tokenizer }))).toEqual([
    { shape: [2, 3], ids: [1, 2, 3, 4, 5, 0], mask: [1, 1, 1, 1, 0, 0] },
    { shape: [1, 1], ids: [6], mask: [1] },
  ]);
});

test("batches of one neither cut nor pad", () => {
  expect(rowsOf(toBatches(samples, { batchSize: 1, dataCollator: "padding" }))).toEqual([
    { shape: [1, 3], ids: [1, 2, 3], mask: [1, 1, 1] },
    { shape: [1, 2], ids: [4, 5], mask: [1, 0] },
    { shape: [1, 1], ids: [6], mask: [1] },
  ]);
});
