import { join } from "node:path";
import { expect, test } from "vitest";
import { characterTokenizer } from "../../test/character-tokenizer.ts";
import { temporaryFolder } from "../../test/temporary-folder.ts";
import { DataError } from "../errors.ts";
import { loadEvaluationWindows } from "./evaluation.ts";

const tokenizer = characterTokenizer();

test("windows follow one another from the start of the text, without special tokens", async () => {
  const path = join(await temporaryFolder({ "a.txt": "AB\n\nCDEF" }), "a.txt");
  const windows = await loadEvaluationWindows(path, { tokenizer, windows: 2, length: 3 });
  expect(windows.map(({ input_ids }) => input_ids.shape)).toEqual([
    [1, 3],
    [1, 3],
  ]);
  expect(windows.map(({ input_ids }) => String.fromCodePoint(...Array.from(input_ids.data, Number)))).toEqual([
    "AB\n",
    "\nCD",
  ]);
});

test("32 windows of 512 tokens are the default", async () => {
  const path = join(await temporaryFolder({ "a.txt": "x".repeat(32 * 512) }), "a.txt");
  const windows = await loadEvaluationWindows(path, { tokenizer });
  expect(windows.length).toBe(32);
  expect(windows[31].input_ids.shape).toEqual([1, 512]);
});

test("a text that is too short, or missing, is refused", async () => {
  const path = join(await temporaryFolder({ "a.txt": "ABCDE" }), "a.txt");
  await expect(loadEvaluationWindows(path, { tokenizer, windows: 3, length: 2 })).rejects.toThrow(
    new DataError(`${path}: 2 windows of 2 tokens, expected 3. Give a longer text or ask for fewer windows.`),
  );
  await expect(loadEvaluationWindows("nowhere.txt", { tokenizer })).rejects.toThrow(
    new DataError("nowhere.txt: no such file, expected a text. Check the path."),
  );
  await expect(loadEvaluationWindows(path, { tokenizer, windows: 0 })).rejects.toThrow(
    new DataError("evaluation data: windows 0, expected a positive integer."),
  );
});
