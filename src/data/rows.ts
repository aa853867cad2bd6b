import { stat } from "node:fs/promises";
import { extname } from "node:path";
import { DataError } from "../errors.ts";
import { readCsv } from "./csv.ts";
import { readJson } from "./json.ts";
import { readJsonl, readTextLines } from "./lines.ts";
import { readParquet } from "./parquet.ts";
import type { Row } from "./row.ts";

/** Rows in a file, or rows at hand. */
export type RowSource = string | Iterable<Row> | AsyncIterable<Row>;

/** What reads a file, by its extension. */
const READERS: Readonly<Record<string, (path: string) => AsyncIterable<Row>>> = {
  ".jsonl": readJsonl,
  ".json": readJson,
  ".txt": readTextLines,
  ".csv": readCsv,
  ".parquet": readParquet,
};

/**
 * The rows of a source, one at a time: a reader that stops early leaves the rest of the file unread.
 *
 * `.jsonl` holds an object a line, `.json` an array of objects or an object of columns, `.txt` a row's `text` a line,
 * `.csv` a header and records; `.parquet` is read a row group at a time.
 *
 * @throws DataError if the file is missing, broken or of another kind.
 */
export async function* readRows(source: RowSource): AsyncGenerator<Row> {
  if (typeof source !== "string") return yield* source;
  const extension = extname(source).toLowerCase();
  if (!Object.hasOwn(READERS, extension)) {
    const found = extension === "" ? "no extension" : `extension ${extension}`;
    throw new DataError(`${source}: ${found}, expected one of ${Object.keys(READERS).join(", ")}.`);
  }
  const found = await stat(source).catch(() => undefined);
  if (!found?.isFile()) throw new DataError(`${source}: no such file, expected a data set.`);
  yield* READERS[extension](source);
}

/** What messages call a source. */
export function sourceName(source: RowSource): string {
  return typeof source === "string" ? source : "dataset";
}
