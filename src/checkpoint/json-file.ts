import type { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { readContained } from "./contained-file.ts";
import { safeParse } from "./issues.ts";
import { parseJson } from "./parse-json.ts";

/** Reads a JSON file of a checkpoint. @throws CheckpointError where it is missing, does not parse or does not fit `schema` */
export async function readJsonFile<Schema extends z.ZodType>(file: string, schema: Schema): Promise<z.infer<Schema>> {
  const bytes = await readContained(file).catch((cause) => {
    if (cause instanceof CheckpointError) throw cause;
    throw new CheckpointError(`${file}: cannot be read, expected a JSON file. Check the path of the model.`, { cause });
  });
  const value = parse(file, bytes);
  const result = safeParse(schema, value);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  const where = path.length > 0 ? `${path.join(".")}: ` : "";
  throw new CheckpointError(`${file}: ${where}${message}. Get the file again.`, { cause: result.error });
}

function parse(file: string, bytes: Uint8Array): unknown {
  try {
    return parseJson(bytes);
  } catch (cause) {
    const found = cause instanceof RangeError ? cause.message : "does not parse";
    throw new CheckpointError(`${file}: ${found}, expected JSON. Get the file again.`, { cause });
  }
}
