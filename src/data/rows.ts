import { stat } from "node:fs/promises";
import { extname } from "node:path";
import { DataError, LayerwiseError } from "../errors.ts";
import { readCsv } from "./csv.ts";
import { readJson } from "./json.ts";
import { readJsonl, readTextLines } from "./lines.ts";
import { readParquet } from "./parquet.ts";
import { isRow, type Row } from "./row.ts";

/** Where calibration data comes from: a file, or rows at hand. */
export type CalibrationSource = string | Iterable<Row> | AsyncIterable<Row>;

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
export async function* readRows(source: CalibrationSource): AsyncGenerator<Row> {
  if (typeof source !== "string") return yield* checkRows(source);
  const extension = extname(source).toLowerCase();
  if (!Object.hasOwn(READERS, extension)) {
    const found = extension === "" ? "no extension" : `extension ${extension}`;
    throw new DataError(`${source}: ${found}, expected one of ${Object.keys(READERS).join(", ")}.`);
  }
  const found = await stat(source).catch(() => undefined);
  if (!found?.isFile()) {
    throw new DataError(`${source}: ${found ? "not a file" : "no such file"}, expected a data set. Check the path.`);
  }
  try {
    yield* READERS[extension](source);
  } catch (cause) {
    if (cause instanceof LayerwiseError) throw cause;
    const { message } = cause as Error; // of the file system, or of a value too large for JavaScript
    throw new DataError(`${source}: cannot be read (${message}), expected a data set. Check the file.`, { cause });
  }
}

async function* checkRows(rows: Iterable<Row> | AsyncIterable<Row>): AsyncGenerator<Row> {
  let number = 0;
  for await (const row of rows) {
    number += 1;
    if (!isRow(row)) throw new DataError(`dataset: row ${number} is not an object, expected values by column name.`);
    yield row;
  }
}

/** What messages call a source. */
export function sourceName(source: CalibrationSource): string {
  return typeof source === "string" ? source : "dataset";
}
