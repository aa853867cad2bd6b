import { expect, test } from "vitest";
import { DataError } from "../errors.ts";
import { isBlank, readContent } from "./content.ts";

const where = "a.jsonl: row 2";
const messages = [{ role: "user", content: "Hi" }];

test("ready token ids win over text, and may be bigints or a typed array", () => {
  const ids = { kind: "ids", inputIds: [1, 2], where };
  expect(readContent({ text: "a", input_ids: [1, 2] }, "text", where)).toEqual(ids);
  expect(readContent({ input_ids: [1n, 2n] }, "text", where)).toEqual(ids);
  expect(readContent({ input_ids: Int32Array.of(1, 2) }, "text", where)).toEqual(ids);
  expect(readContent({ input_ids: [1, 2], attention_mask: [1, 0] }, "text", where)).toEqual({
    ...ids,
    attentionMask: [1, 0],
  });
});

test("the text column wins over messages, and may hold messages itself", () => {
  expect(readContent({ text: "a", messages }, "text", where)).toEqual({ kind: "text", text: "a", where });
  expect(readContent({ text: null, messages }, "text", where)).toEqual({ kind: "chat", messages, where });
  expect(readContent({ body: "b", text: "a" }, "body", where)).toEqual({ kind: "text", text: "b", where });
  expect(readContent({ dialogue: messages }, "dialogue", where)).toEqual({ kind: "chat", messages, where });
});

test("white space, no messages, no tokens and null are blank", () => {
  const rows = [{ text: " \n\t" }, { text: null }, { messages: [] }, { input_ids: [] }];
  expect(rows.map((row) => isBlank(readContent(row, "text", where)))).toEqual([true, true, true, true]);
  const full = [{ text: " a" }, { messages }, { input_ids: [0] }];
  expect(full.map((row) => isBlank(readContent(row, "text", where)))).toEqual([false, false, false]);
});

test.each([
  [
    { body: "a", id: 1 },
    'columns "body", "id", expected "text", "messages" or "input_ids". Name the column that holds the text.',
  ],
  [{}, 'columns none, expected "text", "messages" or "input_ids". Name the column that holds the text.'],
  [{ text: 3 }, 'column "text" holds a number, expected a text or an array of messages with a role.'],
  [
    { text: ["a"] },
    'column "text" holds an array of something else, expected a text or an array of messages with a role.',
  ],
  [{ input_ids: [1.5] }, 'column "input_ids" is not an array of integers of at least 0, expected one.'],
  [{ input_ids: "1 2" }, 'column "input_ids" is not an array of integers of at least 0, expected one.'],
  [{ input_ids: [1, 2], attention_mask: [1] }, "attention_mask has 1 values, expected 2 as in input_ids."],
])("row %o is refused", (row, message) => {
  expect(() => readContent(row, "text", where)).toThrow(new DataError(`${where}: ${message}`));
});
