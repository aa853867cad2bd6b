import { z } from "zod";
import { DataError } from "../errors.ts";
import type { ChatMessage } from "./chat-template.ts";
import type { Row } from "./row.ts";

/** What a row gives to tokenize, or ready token ids. */
export type Content = { /** What messages call the row. */ readonly where: string } & (
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "chat"; readonly messages: readonly ChatMessage[] }
  | { readonly kind: "ids"; readonly inputIds: number[]; readonly attentionMask?: number[] }
);

const integer = z.union([z.int().nonnegative(), z.bigint().nonnegative().transform(Number)]);
const idsSchema = z.array(integer);
const messagesSchema = z.array(z.looseObject({ role: z.string(), content: z.unknown() }));

/**
 * What `row` holds: `input_ids` if it has them, else its text column (a text, or the messages of a chat), else `messages`.
 *
 * @throws DataError naming the row and its columns if there is none of these, or it is of the wrong type.
 */
export function readContent(row: Row, textColumn: string, where: string): Content {
  if (row.input_ids != null) return readIds(row, where);
  const columns = [textColumn, "messages"].filter((name) => Object.hasOwn(row, name));
  if (columns.length === 0) throw missing(row, textColumn, where);
  const column = columns.find((name) => row[name] != null) ?? columns[0];
  const value = row[column] ?? ""; // JSON and parquet have nulls
  if (typeof value === "string") return { kind: "text", text: value, where };
  const messages = messagesSchema.safeParse(value);
  if (messages.success) return { kind: "chat", messages: messages.data, where };
  const found = Array.isArray(value) ? "an array of something else" : `a ${typeof value}`;
  throw new DataError(
    `${where}: column "${column}" holds ${found}, expected a text or an array of messages with a role.`,
  );
}

/** Whether there is nothing to learn from it: no text but white space, no messages, no tokens. */
export function isBlank(content: Content): boolean {
  switch (content.kind) {
    case "text":
      return content.text.trim() === "";
    case "chat":
      return content.messages.length === 0;
    case "ids":
      return content.inputIds.length === 0;
  }
}

function readIds({ input_ids, attention_mask }: Row, where: string): Content {
  const inputIds = parseIds(input_ids, `${where}: column "input_ids"`);
  if (attention_mask == null) return { kind: "ids", inputIds, where };
  const attentionMask = parseIds(attention_mask, `${where}: column "attention_mask"`);
  if (attentionMask.length === inputIds.length) return { kind: "ids", inputIds, attentionMask, where };
  throw new DataError(
    `${where}: attention_mask has ${attentionMask.length} values, expected ${inputIds.length} as in input_ids.`,
  );
}

function parseIds(value: unknown, where: string): number[] {
  const parsed = idsSchema.safeParse(ArrayBuffer.isView(value) ? Array.from(value as Int32Array) : value);
  if (parsed.success) return parsed.data;
  throw new DataError(`${where} is not an array of integers of at least 0, expected one.`);
}

function missing(row: Row, textColumn: string, where: string): DataError {
  const found = Object.keys(row).map((name) => `"${name}"`);
  return new DataError(
    `${where}: columns ${found.join(", ") || "none"}, expected "${textColumn}", "messages" or "input_ids". ` +
      "Name the column that holds the text.",
  );
}
