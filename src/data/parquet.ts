import { brotliDecompressSync, gunzipSync } from "node:zlib";
import {
  asyncBufferFromFile,
  type Compressors,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
  parquetSchema,
} from "hyparquet";
import { DataError } from "../errors.ts";
import type { Row } from "./row.ts";

/** Codecs beside snappy, which hyparquet brings. */
const compressors: Compressors = {
  GZIP: (bytes) => gunzipSync(bytes),
  BROTLI: (bytes) => brotliDecompressSync(bytes),
};

/** Rows of a parquet file, read a row group at a time. */
export async function* readParquet(path: string): AsyncGenerator<Row> {
  try {
    const file = await asyncBufferFromFile(path);
    const metadata = await parquetMetadataAsync(file);
    checkColumns(metadata);
    let rowStart = 0;
    for (const { num_rows } of metadata.row_groups) {
      const rowEnd = rowStart + Number(num_rows);
      yield* await parquetReadObjects({ file, metadata, rowStart, rowEnd, compressors });
      rowStart = rowEnd;
    }
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new DataError(`${path}: not readable as parquet (${message}), expected a data set. Get the file again.`, {
      cause,
    });
  }
}

/**
 * Checks that each row group holds every leaf of the schema at most once, and nothing else: hyparquet begins to read what it
 * does not wait for then, and a failure there would end the process.
 */
function checkColumns(metadata: FileMetaData): void {
  const schema = parquetSchema(metadata);
  for (const { columns } of metadata.row_groups) {
    const seen = new Set<string>();
    for (const { meta_data } of columns) {
      const path = meta_data?.path_in_schema ?? [];
      const leaf = path.reduce(({ children }, name) => {
        const child = children.find(({ element }) => element.name === name);
        if (!child) throw new Error(`no column ${path.join(".")} in the schema`);
        return child;
      }, schema);
      if (leaf.children.length > 0) throw new Error(`column ${path.join(".")} holds others`);
      if (seen.has(path.join("\0"))) throw new Error(`column ${path.join(".")} is there twice`);
      seen.add(path.join("\0"));
    }
  }
}
