import { createReadStream } from "node:fs";
import { DataError } from "../errors.ts";

/** The text of a file in UTF-8, piece by piece, without the mark that may open it. @throws DataError for other bytes */
export async function* readUtf8(path: string): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  const decode = (bytes?: Uint8Array) => {
    try {
      return decoder.decode(bytes, { stream: bytes !== undefined });
    } catch (cause) {
      throw new DataError(`${path}: not UTF-8, expected a text in it. Convert the file.`, { cause });
    }
  };
  for await (const bytes of createReadStream(path)) yield decode(bytes as Buffer);
  yield decode();
}
