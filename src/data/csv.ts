import { pipeline } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { DataError } from "../errors.ts";
import type { Row } from "./row.ts";
import { readUtf8 } from "./utf8.ts";

/** Bytes of a record; a quote that is never closed makes one of the rest of the file. */
const LONGEST_RECORD = 16_000_000;

/** Rows of a CSV file, whose first line names the columns. */
export async function* readCsv(path: string): AsyncGenerator<Row> {
  const parser = parse({ columns: true, skip_empty_lines: true, max_record_size: LONGEST_RECORD });
  // The callback only keeps a failed read from being thrown outside of this loop, which meets it too.
  pipeline(readUtf8(path), parser, () => {});
  try {
    for await (const record of parser) yield record as Row;
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    throw new DataError(`${path}:${cause.lines}: ${cause.message}, expected comma-separated values. Repair the line.`, {
      cause,
    });
  }
}
