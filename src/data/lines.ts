import { DataError } from "../errors.ts";
import { isRow, type Row } from "./row.ts";
import { readUtf8 } from "./utf8.ts";

/** Rows of a file with one JSON object a line; empty lines are skipped. */
export async function* readJsonl(path: string): AsyncGenerator<Row> {
  for await (const { text, number } of readLines(path)) yield parseLine(text, `${path}:${number}`);
}

/** A text file as rows with one column, `text`: each line that is not empty, as it stands. */
export async function* readTextLines(path: string): AsyncGenerator<Row> {
  for await (const { text } of readLines(path)) yield { text };
}

function parseLine(line: string, where: string): Row {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new DataError(`${where}: not JSON, expected an object. Repair or remove the line.`, { cause });
  }
  if (!isRow(value)) throw new DataError(`${where}: not an object, expected one a line. Repair or remove the line.`);
  return value;
}

/** Characters of a line; a JavaScript string cannot have more than four times as many. */
const LONGEST_LINE = 128_000_000;

/** Lines that are not blank, numbered from 1. Only a line feed ends one: JSON strings may hold other separators. */
async function* readLines(path: string): AsyncGenerator<{ text: string; number: number }> {
  let number = 0;
  let rest = "";
  for await (const chunk of readUtf8(path)) {
    const pieces = chunk.split("\n");
    if (rest.length > LONGEST_LINE) {
      throw new DataError(`${path}:${number + 1}: a line of over ${LONGEST_LINE} characters, expected a shorter one.`);
    }
    pieces[0] = rest + pieces[0];
    rest = pieces.pop() ?? "";
    for (const piece of pieces) yield* nonBlank(piece, ++number);
  }
  yield* nonBlank(rest, ++number);
}

function nonBlank(line: string, number: number): { text: string; number: number }[] {
  const text = line.replace(/\r$/, "");
  return text.trim() === "" ? [] : [{ text, number }];
}
