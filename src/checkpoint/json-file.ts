import { readFile } from "node:fs/promises";
import type { z } from "zod";
import { CheckpointError } from "../errors.ts";

/** Reads a JSON file of a checkpoint. @throws CheckpointError where it is missing, does not parse or does not fit `schema` */
export async function readJsonFile<Schema extends z.ZodType>(file: string, schema: Schema): Promise<z.infer<Schema>> {
  const text = await readFile(file, "utf8").catch((cause) => {
    throw new CheckpointError(`${file}: cannot be read, expected a JSON file. Check the path of the model.`, { cause });
  });
  const value = parseJson(file, text);
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [{ path, message }] = result.error.issues;
  const where = path.length > 0 ? `${path.join(".")}: ` : "";
  throw new CheckpointError(`${file}: ${where}${message}. Get the file again.`, { cause: result.error });
}

function parseJson(file: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${file}: does not parse, expected JSON. Get the file again.`, { cause });
  }
}
