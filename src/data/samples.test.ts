import { expect, test } from "vitest";
import { characterTokenizer } from "../../test/character-tokenizer.ts";
import { DataError } from "../errors.ts";
import { concatenate, pad, type Sample, tokenize, truncate } from "./samples.ts";

const where = "a.jsonl: row 2";
const chat = { kind: "chat", messages: [{ role: "user", content: "Hi" }], where } as const;
const tokenizer = characterTokenizer();

test("a text gets special tokens if they are asked for", () => {
  const text = { kind: "text", text: "AB", where } as const;
  expect(tokenize(text, { tokenizer, addSpecialTokens: true })).toEqual({ inputIds: [1, 65, 66] });
  expect(tokenize(text, { tokenizer, addSpecialTokens: false })).toEqual({ inputIds: [65, 66] });
});

test("a chat gets the special tokens of its template alone", () => {
  const withTemplate = characterTokenizer({ chatTemplate: (messages) => `<${messages[0].role}` });
  expect(tokenize(chat, { tokenizer: withTemplate, addSpecialTokens: true }).inputIds).toEqual([
    60, 117, 115, 101, 114,
  ]);
});

test("ready token ids need no tokenizer", () => {
  const ids = { kind: "ids", inputIds: [5], attentionMask: [0], where } as const;
  expect(tokenize(ids as never, { addSpecialTokens: true })).toEqual({ inputIds: [5], attentionMask: [0] });
});

test("what a row needs and the tokenizer lacks is named", () => {
  const refused = (run: () => unknown, message: string) => expect(run).toThrow(new DataError(`${where}: ${message}`));
  refused(
    () => tokenize(chat, { addSpecialTokens: true }),
    "chat, expected input_ids, as the model has no tokenizer.json. Add it, or tokenize the rows.",
  );
  refused(
    () => tokenize(chat, { tokenizer, addSpecialTokens: true }),
    "messages, expected a text, as the tokenizer has no chat template. Add chat_template.jinja.",
  );
  const strict = characterTokenizer({
    chatTemplate: () => {
      throw new DataError("chat template: roles must alternate");
    },
  });
  refused(() => tokenize(chat, { tokenizer: strict, addSpecialTokens: true }), "chat template: roles must alternate");
});

test("truncation cuts the ids and the mask at the end", () => {
  expect(truncate({ inputIds: [1, 2, 3], attentionMask: [1, 1, 0] }, 2)).toEqual({
    inputIds: [1, 2],
    attentionMask: [1, 1],
  });
  expect(truncate({ inputIds: [1] }, 2)).toEqual({ inputIds: [1] });
});

test("padding goes to the tokenizer's side, with mask 0", () => {
  expect(pad({ inputIds: [5, 6] }, 4, tokenizer)).toEqual({ inputIds: [5, 6, 0, 0], attentionMask: [1, 1, 0, 0] });
  expect(
    pad({ inputIds: [5], attentionMask: [0] }, 2, characterTokenizer({ paddingSide: "left", padTokenId: 9 })),
  ).toEqual({ inputIds: [9, 5], attentionMask: [0, 0] });
  const message = "padding: no tokenizer with a pad or end token, expected one. Collate by truncation instead.";
  expect(() => pad({ inputIds: [5] }, 2, characterTokenizer({ padTokenId: null }))).toThrow(new DataError(message));
});

test("samples in a row are cut into blocks, and what is left is dropped", async () => {
  async function* samples(): AsyncGenerator<Sample> {
    yield { inputIds: [1, 2, 3, 4, 5] };
    yield { inputIds: [6], attentionMask: [0] };
    yield { inputIds: [7] };
  }
  const blocks: Sample[] = [];
  for await (const block of concatenate(samples(), 2)) blocks.push(block);
  expect(blocks).toEqual([
    { inputIds: [1, 2], attentionMask: [1, 1] },
    { inputIds: [3, 4], attentionMask: [1, 1] },
    { inputIds: [5, 6], attentionMask: [1, 0] },
  ]);
});
