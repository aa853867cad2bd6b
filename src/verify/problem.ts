import { LayerwiseError } from "../errors.ts";

/** Something that is wrong with a checkpoint. */
export interface Problem {
  /** The module, tensor or file. */
  readonly where: string;
  /** What was found there, what was expected and what to do, in a sentence that begins with `where`. */
  readonly message: string;
}

/** What mends a file that is not what it was. */
export const GET_AGAIN = "Get the file again, or compress the model again.";

/** A problem in the words of an error. */
export function problem(where: string, found: string, expected: string, advice = GET_AGAIN): Problem {
  return { where, message: `${where}: ${found}, expected ${expected}. ${advice}` };
}

/** How many problems there are, in words. */
export function countOf(problems: readonly Problem[]): string {
  return `${problems.length} problem${problems.length === 1 ? "" : "s"}`;
}

/** What a reader said of something that it cannot read. Any other failure is thrown again. */
export function problemOf(error: unknown): Problem {
  if (!(error instanceof LayerwiseError)) throw error;
  return { where: error.message.split(": ", 1)[0], message: error.message };
}
