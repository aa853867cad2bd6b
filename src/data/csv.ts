import { createReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { CsvError, parse } from "csv-parse";
import { DataError } from "../errors.ts";
import type { Row } from "./row.ts";

/** Rows of a CSV file, whose first line names the columns. */
export async function* readCsv(path: string): AsyncGenerator<Row> {
  const parser = parse({ columns: true, bom: true, skip_empty_lines: true });
  // The callback only keeps a failed read from being thrown outside of this loop, which meets it too.
  pipeline(createReadStream(path), parser, () => {});
  try {
    for await (const record of parser) yield record as Row;
  } catch (cause) {
    if (!(cause instanceof CsvError)) throw cause;
    throw new DataError(`${path}:${cause.lines}: ${cause.message}.`, { cause });
  }
}
