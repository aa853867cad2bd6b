import { readFile } from "node:fs/promises";
import { parseJson } from "../checkpoint/parse-json.ts";
import { DataError } from "../errors.ts";
import { isRow, type Row } from "./row.ts";

/** Rows of a JSON file: an array of objects, or an object of columns of one length. */
export async function* readJson(path: string): AsyncGenerator<Row> {
  const value = parse(await readFile(path), path);
  if (Array.isArray(value)) yield* checkRows(value, path);
  else if (isRow(value)) yield* fromColumns(value, path);
  else throw new DataError(`${path}: ${typeof value}, expected an array of objects or an object of columns.`);
}

function parse(bytes: Uint8Array, path: string): unknown {
  try {
    return parseJson(bytes);
  } catch (cause) {
    throw new DataError(`${path}: not JSON, expected an array of objects. A file of one object a line is .jsonl.`, {
      cause,
    });
  }
}

function checkRows(values: readonly unknown[], path: string): Row[] {
  return values.map((value, index) => {
    if (!isRow(value)) throw new DataError(`${path}: row ${index + 1} is not an object, expected one.`);
    return value;
  });
}

function* fromColumns(columns: Row, path: string): Generator<Row> {
  const lists = Object.entries(columns).map(([name, values]): [string, unknown[]] => {
    if (Array.isArray(values)) return [name, values];
    throw new DataError(`${path}: column "${name}" is not an array, expected one value a row.`);
  });
  const length = lists.length === 0 ? 0 : lists[0][1].length;
  const odd = lists.find(([, values]) => values.length !== length);
  if (odd) throw new DataError(`${path}: column "${odd[0]}" has ${odd[1].length} rows, expected ${length}.`);
  for (let row = 0; row < length; row++) yield Object.fromEntries(lists.map(([name, values]) => [name, values[row]]));
}
