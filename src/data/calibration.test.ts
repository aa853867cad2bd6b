import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { characterTokenizer } from "../../test/character-tokenizer.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { DataError } from "../errors.ts";
import { type CalibrationOptions, type CalibrationSource, loadCalibrationData } from "./calibration.ts";

const tokenizer = characterTokenizer();
const inOrder = { tokenizer, addSpecialTokens: false, shuffleCalibrationSamples: false };
const letters = ["A", "BC", "DEF", "GHIJ"].map((text) => ({ text }));

/** Each batch as text: rows, separated by |; padding as _. */
async function load(source: CalibrationSource, options: CalibrationOptions = inOrder) {
  const { batches, warnings, digest } = await loadCalibrationData(source, options);
  const texts = batches.map(({ input_ids: { shape, data } }) =>
    Array.from({ length: shape[0] }, (_, row) =>
      Array.from(data.subarray(row * shape[1], (row + 1) * shape[1]), (id) =>
        id === 0n ? "_" : String.fromCodePoint(Number(id)),
      ).join(""),
    ).join("|"),
  );
  return { texts, warnings, digest };
}

const message = (source: CalibrationSource, options: CalibrationOptions = inOrder) =>
  loadCalibrationData(source, options).then(
    () => "no error",
    (error: unknown) => (error instanceof DataError ? error.message : error),
  );

test("without a shuffle the first samples come in order, and there may be fewer than asked for", async () => {
  expect(await load(letters, { ...inOrder, numCalibrationSamples: 2 })).toMatchObject({
    texts: ["A", "BC"],
    warnings: [],
  });
  expect(await load(letters)).toMatchObject({
    texts: ["A", "BC", "DEF", "GHIJ"],
    warnings: ["dataset: 4 of the 512 samples asked for. More would calibrate better."],
  });
});

test("samples are drawn from all rows by default, with a seed", async () => {
  const rows = Array.from({ length: 200 }, (_, index) => ({ input_ids: [index] }));
  const draw = (options: CalibrationOptions) => load(rows, { numCalibrationSamples: 20, ...options });
  const first = await draw({});
  expect(await draw({ seed: 0 })).toEqual(first);
  expect((await draw({ seed: 1 })).texts).not.toEqual(first.texts);
  expect(Math.max(...first.texts.map((text) => text.codePointAt(0) ?? 0))).toBeGreaterThan(100);
});

test("rows without tokens are left out before samples are counted, with a warning", async () => {
  const rows = [{ text: "" }, { text: "A" }, { text: " \n" }, { text: "B" }, { text: "" }];
  expect(await load(rows, { ...inOrder, numCalibrationSamples: 2 })).toMatchObject({
    texts: ["A", "B"],
    warnings: ["dataset: rows without tokens were dropped: 2."],
  });
});

test("a text of which the tokenizer leaves nothing is dropped as well", async () => {
  const forgetful = characterTokenizer({ encode: (text) => (text === "?" ? [] : [65]) });
  expect(await load([{ text: "?" }, { text: "!" }], { ...inOrder, tokenizer: forgetful })).toMatchObject({
    texts: ["A"],
    warnings: [
      "dataset: rows without tokens were dropped: 1.",
      "dataset: 1 of the 512 samples asked for. More would calibrate better.",
    ],
  });
});

describe("lengths", () => {
  test("samples are cut to maxSeqLength, or to the tokenizer's own bound", async () => {
    expect((await load(letters, { ...inOrder, maxSeqLength: 2 })).texts).toEqual(["A", "BC", "DE", "GH"]);
    const bounded = { ...inOrder, tokenizer: characterTokenizer({ modelMaxLength: 3 }), numCalibrationSamples: 4 };
    expect((await load(letters, bounded)).texts).toEqual(["A", "BC", "DEF", "GHI"]);
    expect(await load(letters, { ...bounded, maxSeqLength: 9 })).toMatchObject({
      texts: ["A", "BC", "DEF", "GHI"],
      warnings: ["calibration data: max_seq_length 9 is more than the tokenizer's 3, which is used."],
    });
  });

  test("padToMaxLength pads every sample", async () => {
    const { texts } = await load(letters, { ...inOrder, maxSeqLength: 3, padToMaxLength: true });
    expect(texts).toEqual(["A__", "BC_", "DEF", "GHI"]);
  });

  test("concatenateData joins whole rows, cuts them into blocks, and drops the rest", async () => {
    expect((await load(letters, { ...inOrder, maxSeqLength: 3, concatenateData: true })).texts).toEqual([
      "ABC",
      "DEF",
      "GHI",
    ]);
  });

  test.each(["padToMaxLength", "concatenateData"])("%s without a length is refused", async (option) => {
    const name = option === "padToMaxLength" ? "pad_to_max_length" : "concatenate_data";
    expect(await message(letters, { ...inOrder, [option]: true })).toBe(
      `calibration data: ${name} without a length, expected one. Set max_seq_length.`,
    );
  });
});

describe("batches", () => {
  test("truncation warns once it costs more than a tenth of the tokens", async () => {
    const options = { ...inOrder, batchSize: 2, numCalibrationSamples: 4 };
    expect(await load(letters, options)).toMatchObject({
      texts: ["A|B", "DEF|GHI"],
      warnings: ["dataset: batches of 2 cut 2 of 10 tokens. Use data_collator padding."],
    });
    expect(await load(letters, { ...options, dataCollator: "padding" })).toMatchObject({
      texts: ["A_|BC", "DEF_|GHIJ"],
      warnings: [],
    });
  });

  test("the digest tells the token ids, their shape and the mask apart", async () => {
    const sources = [
      [{ input_ids: [1, 2] }],
      [{ input_ids: [1] }, { input_ids: [2] }],
      [{ input_ids: [1, 3] }],
      [{ input_ids: [1, 2], attention_mask: [1, 0] }],
    ];
    const digests = await Promise.all(
      sources.map(async (rows) => (await load(rows, { shuffleCalibrationSamples: false })).digest),
    );
    expect(new Set(digests).size).toBe(4);
    expect((await load([{ input_ids: [1, 2] }])).digest).toBe(digests[0]);
    expect(digests[0]).toMatch(/^[0-9a-f]{64}$/);
  });
});

test("a row without text is named by file and number, with the columns it has", async () => {
  const path = join(await temporaryFolder({ "a.jsonl": '{"text": "A"}\n{"body": "B"}' }), "a.jsonl");
  expect(await message(path)).toBe(
    `${path}: row 2: columns "body", expected "text", "messages" or "input_ids". Name the column that holds the text.`,
  );
});

test("data without a single sample is refused", async () => {
  expect(await message([])).toBe("dataset: no samples, expected 512. Give rows with more text.");
  expect(await message([{ text: "" }])).toBe("dataset: no samples, expected 512. Give rows with more text.");
});

test("options out of range are refused", async () => {
  expect(await message(letters, { numCalibrationSamples: 0, dataCollator: "stack" as never })).toBe(
    "calibration data.num_calibration_samples: found 0, expected more than 0.\n" +
      'calibration data.data_collator: found "stack", expected one of "truncation", "padding".',
  );
});
